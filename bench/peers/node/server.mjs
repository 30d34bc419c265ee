// The bridge of twilio-realtime-agents (Node), with an agent that has no tools.
//
//   node server.mjs PORT MODEL_PORT

import { createServer } from 'node:http';
import { Agent, TwilioRealtimeBridge } from 'twilio-realtime-agents';
import { openaiRealtime } from 'twilio-realtime-agents/openai';
import { WebSocketServer } from 'ws';

const [port, modelPort] = process.argv.slice(2);

const bridge = new TwilioRealtimeBridge({
  agent: new Agent({ name: 'Bench', instructions: 'Be brief.' }),
  provider: openaiRealtime({
    apiKey: 'bench',
    model: 'bench',
    baseUrl: `ws://127.0.0.1:${modelPort}/v1/realtime`,
  }),
  session: { greeting: { mode: 'user-initiates' } },
});

const server = createServer((_request, response) => response.end());
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket, request) => bridge.handleConnection(socket, request));
server.listen(Number(port), '127.0.0.1');

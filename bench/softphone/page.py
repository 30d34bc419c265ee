"""Scripts of the measured page: they record what it plays, and when its sockets send and get."""

WATCH = """
window.bench = {tap: [], arrived: [], sent: [], began: []};
const Node = window.AudioWorkletNode;
window.AudioWorkletNode = class extends Node {
  constructor(context, name, options) {
    super(context, name, options);
    if (name !== "phone-earpiece") return;
    window.bench.context = context;
    context.audioWorklet.addModule("console/tap.js").then(() => {
      const tap = new Node(context, "tap", {outputChannelCount: [1]});
      tap.port.onmessage = ({data}) => window.bench.tap.push(data);
      this.connect(tap).connect(context.destination);
    });
  }
};
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...given) {
  window.bench.began.push(this.context.currentTime);
  return start.apply(this, given);
};
const now = () => window.bench.context?.currentTime ?? 0;
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  const message = JSON.parse(text);
  if (message.event === "media") window.bench.sent.push([now(), message.media.payload]);
  return send.call(this, text);
};
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({data}) => {
      const {event, media} = JSON.parse(data);
      window.bench.arrived.push([now(), event, (media?.payload.length ?? 0) * 0.75]);
    });
  }
};
"""

TAP = """
class Tap extends AudioWorkletProcessor {
  constructor() { super(); this.filled = 0; this.next(); }
  next() { this.samples = new Int16Array(4800); this.filled = 0; }
  process([[heard]]) {
    if (!heard) return true;
    if (!this.filled) this.began = currentFrame;
    for (let at = 0; at < heard.length && this.filled < 4800; at += 1) {
      const size = Math.round(heard[at] * 32768);
      this.samples[this.filled++] = Math.max(-32768, Math.min(32767, size));
    }
    if (this.filled >= 4736) {
      const samples = this.samples.slice(0, this.filled);
      this.port.postMessage({began: this.began, samples}, [samples.buffer]);
      this.next();
    }
    return true;
  }
}
registerProcessor("tap", Tap);
"""

READ = """() => ({
  rate: window.bench.context.sampleRate,
  latency: window.bench.context.outputLatency || window.bench.context.baseLatency,
  arrived: window.bench.arrived, sent: window.bench.sent, began: window.bench.began,
  tap: window.bench.tap.map(({began, samples}) => {
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return [began, btoa(text)];
  }),
})"""

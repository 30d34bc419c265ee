// A softphone's call: Twilio's media stream protocol, and what follows each of its streams.

import { post, request } from "./api.js";

const STREAM_MS = 8000; // to open a stream
const GONE = new Set([401, 403, 404]);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const bytesOf = (base64) => Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
const randomHex = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export class Line {
  /**
   * `sound`: plays what comes. `on(state, step)`: called with `connected`, `ringing`, `talking`,
   * `waiting` and `over`.
   */
  constructor(sound, on) {
    this.sound = sound;
    this.on = on;
    this.callSid = "";
    this.socket = null;
    this.attempt = null; // the number of the transfer's attempt that rings or talks
    this.talking = false;
    this.over = false;
  }

  /** Call the agent; returns once the call is over. */
  async run() {
    const { call_sid: callSid, stream_url: url } = await post("softphone/calls");
    this.callSid = callSid;
    let step = { state: "stream", stream_url: url };
    while (!this.over && step.state !== "over") step = await this.perform(step);
    this.end();
  }

  async perform(step) {
    if (step.digits) await pause(1000 * this.sound.keys(step.digits));
    if (step.state === "stream") {
      this.attempt = null;
      if (step.seconds) {
        this.on("waiting", step);
        await pause(1000 * step.seconds);
      }
      await this.stream(step.stream_url);
      return this.over ? { state: "over" } : this.ask("POST", "next");
    }
    if (step.state === "ringing" || step.state === "talking") {
      if (this.attempt !== step.attempt || this.talking !== (step.state === "talking")) {
        this.attempt = step.attempt;
        this.talking = step.state === "talking";
        this.on(step.state, step);
      }
      await Promise.race([pause(1000 * step.seconds), new Promise((resolve) => (this.wake = resolve))]);
      const answered = this.answered;
      this.answered = null;
      return answered ?? this.ask("GET", `transfers/${step.attempt}`);
    }
    this.on("waiting", step);
    await pause(1000 * step.seconds);
    return this.ask("POST", "next");
  }

  /** What follows. Asked again while the service is away for a moment. */
  async ask(method, path, body) {
    for (let tries = 0; ; tries += 1) {
      try {
        const address = `softphone/calls/${this.callSid}/${path}`;
        return await (await request(address, { method, body })).json();
      } catch (error) {
        if (GONE.has(error.status) || tries === 5) throw error;
        await pause(400 * 2 ** tries);
      }
    }
  }

  /** Run one stream to its end. */
  stream(url) {
    const streamSid = `MZ${randomHex()}`;
    const began = performance.now();
    const socket = new WebSocket(url);
    let sequence = 0;
    let chunk = 0;
    this.send = (event, body) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      sequence += 1;
      const message = { event, sequenceNumber: String(sequence), streamSid, ...body };
      socket.send(JSON.stringify(message));
    };
    this.frame = (frame) => {
      chunk += 1;
      const timestamp = String(Math.round(performance.now() - began));
      const payload = btoa(String.fromCharCode(...frame));
      this.send("media", { media: { track: "inbound", chunk: String(chunk), timestamp, payload } });
    };
    this.stop = () => {
      this.send("stop", { stop: { accountSid: "", callSid: this.callSid } });
      socket.close(1000);
    };
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.close(), STREAM_MS);
      socket.onopen = () => {
        clearTimeout(timer);
        if (this.over) {
          socket.close(1000);
          return;
        }
        socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
        const format = { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 };
        this.send("start", {
          start: {
            accountSid: "", streamSid, callSid: this.callSid, tracks: ["inbound"],
            mediaFormat: format, customParameters: {},
          },
        });
        this.on("connected");
      };
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.event === "media") this.sound.play(bytesOf(message.media.payload));
        else if (message.event === "mark") this.sound.mark(message.mark.name);
        else if (message.event === "clear") this.sound.clear();
      };
      socket.onclose = ({ wasClean }) => {
        clearTimeout(timer);
        this.send = this.frame = this.stop = null;
        if (!wasClean) this.sound.clear();
        resolve();
      };
    });
  }

  /** What the earpiece reports: all sound before this mark has left the speaker. */
  echo(name) {
    this.send?.("mark", { mark: { name } });
  }

  press(digit) {
    this.send?.("dtmf", { dtmf: { track: "inbound_track", digit } });
  }

  /** The human answers the transfer that rings, or declines it. */
  async answer() {
    await this.report("POST", "answer");
  }

  async decline() {
    await this.report("POST", "ended", { status: "busy" });
  }

  async report(method, path, body) {
    if (this.attempt === null) return;
    this.answered = await this.ask(method, `transfers/${this.attempt}/${path}`, body);
    this.wake?.();
  }

  /** The caller hangs up, or the human with whom they talk: either ends the call. */
  hangUp() {
    if (this.over) return;
    if (this.stop) {
      this.over = true;
      this.stop();
    } else if (this.attempt !== null) {
      const status = this.talking ? "completed" : "canceled";
      const path = `softphone/calls/${this.callSid}/transfers/${this.attempt}/ended`;
      request(path, { method: "POST", body: { status }, keepalive: true }).catch(() => {});
      this.over = true;
    } else if (this.callSid) {
      request(`calls/${this.callSid}/hangup`, { method: "POST", keepalive: true }).catch(() => {});
      this.over = true;
    }
    this.wake?.();
  }

  end() {
    this.over = true;
    this.on("over");
  }
}

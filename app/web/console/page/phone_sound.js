// The softphone's sound: a microphone or a WAV file in, the speaker out, and the tones between.

const KEYS = "123456789*0#";
const ROWS = [697, 770, 852, 941]; // Hz, ITU-T Q.23
const COLUMNS = [1209, 1336, 1477];
const KEY_S = 0.12;
const RINGING = [440, 480]; // Hz: 2 s on, 4 s off
const TONE = 0.08;
const LATENCY_MS = 500; // how often the output's latency is looked up

/** Why there is no microphone; empty: there may be one. */
export function noMicrophone() {
  if (!isSecureContext) return "insecure";
  return navigator.mediaDevices?.getUserMedia ? "" : "unsupported";
}

/** What getUserMedia failed with, as one of the reasons that the page explains. */
export function reasonOf(error) {
  if (error.name === "NotAllowedError" || error.name === "SecurityError") return "denied";
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return "missing";
  return "busy";
}

/** The microphones and the speakers of this computer. Names are known once one was allowed. */
export async function devices() {
  const found = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const of = (kind) => found.filter((each) => each.kind === kind && each.deviceId);
  return { microphones: of("audioinput"), speakers: of("audiooutput") };
}

export class Sound {
  /** `on`: functions `frame(bytes)`, `mark(name)`, `level(side, peak)`. */
  constructor(on) {
    this.on = on;
    // What was given to the output is heard, whatever is cleared after: it is to be little.
    this.context = new AudioContext({ latencyHint: 0 });
    this.tracks = [];
    this.ringing = null;
    this.source = null;
  }

  /** Call it in the handler of a click: browsers let no page play by itself. */
  async open() {
    await this.context.audioWorklet.addModule("console/worklets.js");
    const one = { numberOfInputs: 1, outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit" };
    this.microphone = new AudioWorkletNode(this.context, "phone-microphone", one);
    this.earpiece = new AudioWorkletNode(this.context, "phone-earpiece", { ...one, numberOfInputs: 0 });
    this.microphone.port.onmessage = ({ data }) => {
      if (data.frame) this.on.frame(data.frame);
      else this.on.level("microphone", data.level);
    };
    this.earpiece.port.onmessage = ({ data }) => {
      if (data.mark !== undefined) this.on.mark(data.mark);
      else this.on.level("agent", data.level);
    };
    this.microphone.connect(this.context.destination); // silent: it runs because of this
    this.earpiece.connect(this.context.destination);
    const tellLatency = () => {
      const latency = this.context.outputLatency || this.context.baseLatency || 0;
      this.earpiece.port.postMessage({ latency });
    };
    tellLatency();
    this.timer = setInterval(tellLatency, LATENCY_MS);
    await this.context.resume();
  }

  /** Hear this microphone. Raises what getUserMedia raises. */
  async hear(deviceId) {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    if (deviceId) audio.deviceId = { exact: deviceId };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    if (this.context.state === "closed") {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    this.replace(this.context.createMediaStreamSource(stream), stream.getTracks());
  }

  /** Hear a file in its place, once. Raises an error for one that holds no sound. */
  async hearFile(file) {
    const buffer = await this.context.decodeAudioData(await file.arrayBuffer());
    const source = new AudioBufferSourceNode(this.context, { buffer });
    this.replace(source, []);
    source.start();
  }

  replace(source, tracks) {
    this.source?.disconnect();
    this.tracks.forEach((track) => track.stop());
    this.tracks = tracks;
    this.source = source;
    source.connect(this.microphone);
  }

  async speakAt(deviceId) {
    await this.context.setSinkId?.(deviceId);
  }

  play(media) {
    this.earpiece.port.postMessage({ media }, [media.buffer]);
  }

  mark(mark) {
    this.earpiece.port.postMessage({ mark });
  }

  clear() {
    this.earpiece.port.postMessage({ clear: true });
  }

  /** The tone of a key. */
  key(key, at = this.context.currentTime) {
    const index = KEYS.indexOf(key);
    if (index < 0) return;
    this.tones([ROWS[Math.floor(index / 3)], COLUMNS[index % 3]], at, KEY_S);
  }

  /** Keys one after the other; `w` is a pause of 500 ms, `W` of 1000 ms. Returns their seconds. */
  keys(digits) {
    let after = 0;
    for (const each of digits) {
      if (each === "w" || each === "W") {
        after += each === "w" ? 0.5 : 1;
      } else {
        this.key(each, this.context.currentTime + after);
        after += 2 * KEY_S;
      }
    }
    return after;
  }

  /** A telephone rings at the other end, until `quiet`. */
  ring() {
    this.quiet();
    const once = () => this.tones(RINGING, this.context.currentTime, 2);
    let sounding = once();
    const timer = setInterval(() => (sounding = once()), 6000);
    this.ringing = () => {
      clearInterval(timer);
      sounding.forEach((tone) => tone.stop());
    };
  }

  quiet() {
    this.ringing?.();
    this.ringing = null;
  }

  tones(frequencies, at, seconds) {
    const gain = new GainNode(this.context, { gain: 0 });
    gain.connect(this.context.destination);
    gain.gain.setTargetAtTime(TONE, at, 0.003);
    gain.gain.setTargetAtTime(0, at + seconds - 0.02, 0.003);
    return frequencies.map((frequency) => {
      const tone = new OscillatorNode(this.context, { frequency });
      tone.connect(gain);
      tone.start(at);
      tone.stop(at + seconds);
      return tone;
    });
  }

  close() {
    clearInterval(this.timer);
    this.quiet();
    this.tracks.forEach((track) => track.stop());
    if (this.context.state !== "closed") this.context.close();
  }
}

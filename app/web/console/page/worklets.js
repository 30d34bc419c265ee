// The audio worklets. Of the softphone: the microphone as frames of µ-law, and the agent's audio. Of
// listening in: both sides of a call.
//
// The softphone's line has 8000 Hz, the browser its own rate. Both directions are resampled here, with a
// windowed sinc: no piece of audio is resampled by itself, so there is no click between pieces.

const HZ = 8000;
const FRAME = 160; // 20 ms
const HALF = 16; // zero crossings of the sinc at each side
const PHASES = 64;
// So much audio in store plays at once. Less plays so long after its first piece came: more may come
// meanwhile. Where the store runs empty, this wait makes it larger for the rest of the answer.
const STORE_S = 0.1;
const WAIT_S = 0.04;
const FADE = 24; // samples, 3 ms: what is cleared fades out
const LEVEL_S = 0.05;

/** Samples of µ-law bytes (ITU-T G.711). */
const SAMPLES = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  const size = ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
  return (code & 0x80 ? -size : size) / 32768;
});

/** The µ-law byte of a sample. */
function ulaw(sample) {
  const size = Math.min(32635, Math.round(Math.abs(sample) * 32768)) + 0x84;
  const exponent = Math.max(0, 24 - Math.clz32(size));
  const code = (exponent << 4) | ((size >> (exponent + 3)) & 0x0f);
  return ~(sample < 0 ? code | 0x80 : code) & 0xff;
}

/** Resamples a stream. Its output is `half` input samples late. */
class Resampler {
  constructor(from, to) {
    this.step = from / to;
    const cut = Math.min(1, to / from);
    this.half = Math.ceil(HALF / cut);
    this.taps = 2 * this.half;
    this.rows = Array.from({ length: PHASES + 1 }, (_, row) => this.row(row / PHASES, 0.96 * cut));
    this.window = new Float32Array(2 * this.taps); // the last samples, twice: always in one piece
    this.at = 0;
    this.position = 1;
  }

  row(fraction, cut) {
    const taps = Float32Array.from({ length: this.taps }, (_, tap) => {
      const x = tap - (this.half - 1) - fraction;
      const edge = Math.cos((Math.PI * x) / (2 * this.half)) ** 2;
      return edge * (x === 0 ? cut : Math.sin(Math.PI * cut * x) / (Math.PI * x));
    });
    const sum = taps.reduce((total, tap) => total + tap, 0);
    return taps.map((tap) => tap / sum);
  }

  put(sample) {
    this.window[this.at] = this.window[this.at + this.taps] = sample;
    this.at = (this.at + 1) % this.taps;
    this.position -= 1;
  }

  take() {
    const place = this.position * PHASES;
    const row = Math.floor(place);
    const [here, next] = [this.rows[row], this.rows[row + 1]];
    const share = place - row;
    let sum = 0;
    for (let tap = 0; tap < this.taps; tap += 1) {
      sum += this.window[this.at + tap] * (here[tap] + share * (next[tap] - here[tap]));
    }
    this.position += this.step;
    return sum;
  }

  /** One sample of output; `read` gives the input. */
  pull(read) {
    while (this.position >= 1) this.put(read());
    return this.take();
  }

  /** One sample of input; `write` gets the output. */
  push(sample, write) {
    this.put(sample);
    while (this.position < 1) write(this.take());
  }
}

/** Reports the loudest sample of every 50 ms. */
class Level {
  constructor(port) {
    this.port = port;
    this.peak = 0;
    this.since = currentTime;
  }

  take(sample) {
    this.peak = Math.max(this.peak, Math.abs(sample));
  }

  report() {
    if (currentTime - this.since < LEVEL_S) return;
    this.port.postMessage({ level: this.peak });
    this.peak = 0;
    this.since = currentTime;
  }
}

/** Posts `{frame}` every 20 ms, also while nothing is connected. */
class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, HZ);
    this.level = new Level(this.port);
    this.frame = new Uint8Array(FRAME);
    this.filled = 0;
    this.write = (sample) => {
      this.frame[this.filled] = ulaw(sample);
      this.filled += 1;
      if (this.filled < FRAME) return;
      this.port.postMessage({ frame: this.frame }, [this.frame.buffer]);
      this.frame = new Uint8Array(FRAME);
      this.filled = 0;
    };
  }

  process([[heard]], [[out]]) {
    for (let at = 0; at < out.length; at += 1) {
      const sample = heard ? heard[at] : 0;
      this.level.take(sample);
      this.resampler.push(sample, this.write);
    }
    this.level.report();
    return true;
  }
}

/** Plays `{media}`, and posts `{mark}` when all sound before it has left the speaker. */
class Earpiece extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(HZ, sampleRate);
    this.level = new Level(this.port);
    this.queue = []; // samples, and names of marks
    this.at = 0; // in the first samples
    this.stored = 0; // samples
    this.marks = []; // reached, with the time at which their sound has left the speaker
    this.playing = false;
    this.waitsSince = null;
    this.last = 0;
    this.now = 0;
    this.endsAt = 0; // when the last sample that was read leaves the resampler
    this.latency = 0; // of the output, seconds
    this.read = () => this.next();
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take({ media, mark, clear, latency }) {
    if (latency !== undefined) this.latency = latency;
    if (media) {
      if (!this.stored && !this.playing) this.waitsSince = currentTime;
      this.queue.push(Float32Array.from(media, (byte) => SAMPLES[byte]));
      this.stored += media.length;
    }
    if (mark !== undefined) this.queue.push({ mark });
    if (clear) this.clear();
  }

  clear() {
    const names = [...this.marks, ...this.queue].filter((each) => each.mark !== undefined);
    const rest = new Float32Array(this.playing ? Math.min(FADE, this.stored) : 0);
    for (let to = 0, piece = 0, at = this.at; to < rest.length; to += 1) {
      while (!(this.queue[piece] instanceof Float32Array) || at >= this.queue[piece].length) {
        piece += 1;
        at = 0;
      }
      rest[to] = this.queue[piece][at] * (1 - (to + 1) / rest.length);
      at += 1;
    }
    this.queue = rest.length ? [rest] : [];
    this.at = 0;
    this.stored = rest.length;
    this.marks = [];
    names.forEach(({ mark }) => this.port.postMessage({ mark }));
  }

  next() {
    while (this.queue.length) {
      const first = this.queue[0];
      if (!(first instanceof Float32Array)) {
        this.marks.push({ mark: first.mark, due: this.endsAt });
        this.queue.shift();
        continue;
      }
      if (!this.playing) break;
      this.last = first[this.at];
      this.at += 1;
      this.stored -= 1;
      if (this.at >= first.length) {
        this.queue.shift();
        this.at = 0;
      }
      this.endsAt = this.now + this.resampler.half / HZ;
      return this.last;
    }
    if (!this.stored) this.playing = false;
    this.last *= 0.8; // no step where audio ends amid sound
    return this.last;
  }

  process(_inputs, [[out]]) {
    if (!this.playing && this.stored) {
      const whole = !(this.queue.at(-1) instanceof Float32Array); // a mark is behind it
      const much = this.stored >= STORE_S * HZ;
      this.playing = whole || much || currentTime - this.waitsSince >= WAIT_S;
    }
    for (let to = 0; to < out.length; to += 1) {
      this.now = currentTime + to / sampleRate;
      out[to] = this.resampler.pull(this.read);
      this.level.take(out[to]);
    }
    const until = currentTime + out.length / sampleRate;
    while (this.marks.length && this.marks[0].due + this.latency <= until) {
      this.port.postMessage({ mark: this.marks.shift().mark });
    }
    this.level.report();
    return true;
  }
}

const START_S = 0.25; // in store before the speaker begins to play
const MOST_S = 1; // more than this is late: it is skipped
// How far each side is from the middle: the caller to the left, the agent to the right.
const NEAR = 1;
const FAR = 0.5;

/** Plays bytes of µ-law as they come, of the caller and the agent by turns. */
class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.pieces = [];
    this.at = 0; // in the first piece
    this.stored = 0; // bytes
    this.playing = false;
    this.port.onmessage = ({ data }) => {
      if (!data.length) return;
      this.pieces.push(data);
      this.stored += data.length;
      if (this.stored > 2 * MOST_S * sampleRate) {
        while (this.stored > 2 * START_S * sampleRate + 1) this.pair();
      }
    };
  }

  /** A sample of each side. */
  pair() {
    return [this.next(), this.next()];
  }

  next() {
    const sample = SAMPLES[this.pieces[0][this.at]];
    this.at += 1;
    this.stored -= 1;
    if (this.at >= this.pieces[0].length) {
      this.pieces.shift();
      this.at = 0;
    }
    return sample;
  }

  process(_inputs, [[left, right]]) {
    const enough = this.stored >= 2 * START_S * sampleRate;
    this.playing = this.stored > 1 && (this.playing || enough);
    for (let to = 0; this.playing && to < left.length && this.stored > 1; to += 1) {
      const [caller, agent] = this.pair();
      left[to] = NEAR * caller + FAR * agent;
      right[to] = FAR * caller + NEAR * agent;
    }
    return true;
  }
}

registerProcessor("speaker", Speaker);
registerProcessor("phone-microphone", Microphone);
registerProcessor("phone-earpiece", Earpiece);

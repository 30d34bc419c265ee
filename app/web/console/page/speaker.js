// An audio worklet: plays samples as they come, with a little in store.

const START_S = 0.25; // in store before it begins to play
const MOST_S = 1.0; // more than this is late: it is skipped

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.pieces = []; // of interleaved samples, left and right
    this.at = 0; // in the first piece
    this.stored = 0; // samples of each side
    this.playing = false;
    this.port.onmessage = ({ data }) => {
      this.pieces.push(data);
      this.stored += data.length / 2;
      if (this.stored > MOST_S * sampleRate) this.skip(this.stored - START_S * sampleRate);
    };
  }

  skip(samples) {
    let left = Math.floor(samples);
    while (left > 0 && this.pieces.length) {
      const here = Math.min(left, (this.pieces[0].length - this.at) / 2);
      this.advance(here);
      left -= here;
    }
  }

  advance(samples) {
    this.at += 2 * samples;
    this.stored -= samples;
    if (this.at >= this.pieces[0].length) {
      this.pieces.shift();
      this.at = 0;
    }
  }

  process(_inputs, [[left, right]]) {
    this.playing = this.stored > 0 && (this.playing || this.stored >= START_S * sampleRate);
    if (!this.playing) return true;
    for (let to = 0; to < left.length && this.pieces.length; to += 1) {
      left[to] = this.pieces[0][this.at];
      right[to] = this.pieces[0][this.at + 1];
      this.advance(1);
    }
    return true;
  }
}

registerProcessor("speaker", Speaker);

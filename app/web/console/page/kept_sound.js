// The sound that is kept in the page of a call: µ-law, made playable in memory.

import { html, useEffect, useState } from "./lib.js";
import { Player } from "./player.js";
import { texts } from "./texts.js";

const HEADER_BYTES = 44;
const FRAME_BYTES = 4; // two sides of two bytes

/** The sample of each byte of µ-law (ITU-T G.711). */
function ulawTable() {
  return Int16Array.from({ length: 256 }, (_, byte) => {
    const bits = ~byte & 0xff;
    const size = (((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4);
    return bits & 0x80 ? 0x84 - size : size - 0x84;
  });
}

/** A WAV file, the caller left and the agent right. `hz`: samples a second. */
export function wavOf(caller, agent, hz) {
  const table = ulawTable();
  const frames = Math.max(caller.length, agent.length);
  const bytes = frames * FRAME_BYTES;
  const file = new DataView(new ArrayBuffer(HEADER_BYTES + bytes));
  const word = (at, text) => [...text].forEach((each, n) => file.setUint8(at + n, each.charCodeAt(0)));
  word(0, "RIFF");
  file.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  word(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true); // PCM
  file.setUint16(22, 2, true); // sides
  file.setUint32(24, hz, true);
  file.setUint32(28, hz * FRAME_BYTES, true);
  file.setUint16(32, FRAME_BYTES, true);
  file.setUint16(34, 16, true); // bits
  word(36, "data");
  file.setUint32(40, bytes, true);
  for (let frame = 0; frame < frames; frame += 1) {
    const at = HEADER_BYTES + frame * FRAME_BYTES;
    file.setInt16(at, table[caller[frame] ?? 0xff], true);
    file.setInt16(at + 2, table[agent[frame] ?? 0xff], true);
  }
  return new Blob([file.buffer], { type: "audio/wav" });
}

/** `wav`: a promise of the file. */
export function KeptSound({ wav, seek, at }) {
  const [address, setAddress] = useState("");
  const [fault, setFault] = useState("");
  useEffect(() => {
    wav.then(
      (blob) => setAddress(URL.createObjectURL(blob)),
      (error) => setFault(`${texts.player.failed} ${error.message}`),
    );
  }, [wav]);
  if (fault) return html`<p class="fault" role="status">${fault}</p>`;
  return html`<${Player} address=${address} seek=${seek} at=${at} />`;
}

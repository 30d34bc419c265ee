// The recording: fetched with the token, and played from memory.

import { callPath, request } from "./api.js";
import { size } from "./format.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";

// 8000 samples a second, two sides of two bytes.
const BYTES_PER_S = 32_000;
// Longer recordings are fetched when they are asked for.
const MOST_SECONDS = 900;

export function Player({ callSid, seconds, seek, onTime }) {
  const [wanted, setWanted] = useState((seconds ?? 0) <= MOST_SECONDS);
  const [address, setAddress] = useState("");
  const [fault, setFault] = useState("");
  const audio = useRef(null);

  useEffect(() => {
    if (!wanted) return undefined;
    const fetching = new AbortController();
    let made = "";
    request(callPath(callSid, "/recording"), { signal: fetching.signal })
      .then((answer) => answer.blob())
      .then((blob) => {
        if (fetching.signal.aborted) return;
        made = URL.createObjectURL(blob);
        setAddress(made);
      })
      .catch((error) => {
        if (error.name !== "AbortError") setFault(`${texts.player.failed} ${error.message}`);
      });
    return () => {
      fetching.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [wanted, callSid]);

  useEffect(() => {
    if (!seek) return;
    setWanted(true);
    if (audio.current && address) {
      audio.current.currentTime = seek.ms / 1000;
      audio.current.play().catch(() => {});
    }
  }, [seek, address]);

  if (fault) return html`<p class="fault" role="status">${fault}</p>`;
  if (!wanted) {
    return html`<button type="button" onClick=${() => setWanted(true)}>
      ${texts.player.load(size((seconds ?? 0) * BYTES_PER_S))}
    </button>`;
  }
  return html`<audio
    class="player"
    controls
    ref=${audio}
    src=${address || null}
    aria-label=${texts.player.label}
    onTimeUpdate=${(event) => onTime(event.currentTarget.currentTime * 1000)}
  ></audio>`;
}

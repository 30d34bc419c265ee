// Plays a recording. It goes where it is asked to, and says where it is.

import { html, useEffect, useRef } from "./lib.js";
import { texts } from "./texts.js";

/** `address`: of the sound; empty: it is still being read. `seek`, `at`: see `OneCall`. */
export function Player({ address, seek, at }) {
  const audio = useRef(null);
  const frame = useRef(0);

  useEffect(() => {
    if (!seek || !address) return;
    audio.current.currentTime = seek.ms / 1000;
    audio.current.play().catch(() => {}); // the browser did not allow it, or another seek came
  }, [seek, address]);

  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  // Its own event comes four times a second: too rarely for a line that moves.
  const follow = () => {
    cancelAnimationFrame(frame.current);
    if (!audio.current) return;
    at.value = audio.current.currentTime * 1000;
    if (!audio.current.paused) frame.current = requestAnimationFrame(follow);
  };
  return html`<audio
    class="player"
    controls
    ref=${audio}
    src=${address || null}
    aria-label=${texts.player.label}
    onPlay=${follow}
    onSeeked=${follow}
    onPause=${follow}
  ></audio>`;
}

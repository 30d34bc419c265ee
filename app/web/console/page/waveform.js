// Outlines of sound and hatching, as paths.

const STEP_PX = 1.5;
const HATCH_PX = 6;

/** The bytes of one side of a waveform; null: there is none. */
export function peaksOf(base64) {
  return base64 ? Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)) : null;
}

/**
 * The outline of a waveform around its middle line.
 * `cellPx`: how wide a peak is drawn. `half`: the height of a peak of full scale.
 */
export function outline(peaks, cellPx, width, middle, half) {
  const top = [];
  const bottom = [];
  const end = Math.min(width, peaks.length * cellPx);
  for (let x = 0; x < end; x += STEP_PX) {
    const first = Math.floor(x / cellPx);
    const last = Math.max(first + 1, Math.min(peaks.length, Math.floor((x + STEP_PX) / cellPx)));
    let peak = 0;
    for (let at = first; at < last; at += 1) peak = Math.max(peak, peaks[at]);
    const height = Math.max(0.4, (peak / 255) * half);
    top.push(`${x.toFixed(1)} ${(middle - height).toFixed(1)}`);
    bottom.push(`${x.toFixed(1)} ${(middle + height).toFixed(1)}`);
  }
  return top.length ? `M${top.join("L")}L${bottom.reverse().join("L")}Z` : "";
}

/** Lines from the lower left to the upper right, inside of a rectangle. */
export function hatch(x, y, width, height) {
  let path = "";
  for (let at = -height; at < width; at += HATCH_PX) {
    const left = Math.max(0, at);
    const right = Math.min(width, at + height);
    if (right > left) {
      path += `M${(x + left).toFixed(1)} ${(y + height - (left - at)).toFixed(1)}`;
      path += `L${(x + right).toFixed(1)} ${(y + height - (right - at)).toFixed(1)}`;
    }
  }
  return path;
}

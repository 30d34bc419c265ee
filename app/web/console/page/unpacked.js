// Data that is packed in the page of a call: gzip, in base64.

/** The bytes of a packed block. Rejects if it is damaged. */
export async function unpacked(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = characters.charCodeAt(at);
  const unpacking = new DecompressionStream("gzip");
  const writer = unpacking.writable.getWriter();
  // What fails here fails the reader, too.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  const reader = unpacking.readable.getReader();
  const pieces = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return joined(pieces);
    pieces.push(value);
  }
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

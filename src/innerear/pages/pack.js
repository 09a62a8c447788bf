// Arrays as pack.py writes them: base64 of zlib of planes of bytes. `bytesOf` is of player.js.
const MISSING = -(2 ** 31), NO_INDEX = 2 ** 16 - 1, UNIT = 1e6;
const KINDS = {i4: Int32Array, u2: Uint16Array, u1: Uint8Array, i1: Int8Array};
async function unpack(element) {
  const stream = new Blob([bytesOf(element.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const Kind = KINDS[element.dataset.kind], size = Kind.BYTES_PER_ELEMENT, n = planes.length / size;
  const bytes = new Uint8Array(planes.length);
  for (let b = 0; b < size; b++) for (let i = 0, from = b * n; i < n; i++) bytes[i * size + b] = planes[from + i];
  return new Kind(bytes.buffer);
}
async function unpackAll(elements) {
  const arrays = await Promise.all([...elements].map(unpack));
  return Object.fromEntries([...elements].map((element, i) => [element.dataset.name, arrays[i]]));
}
const counted = value => value === MISSING ? NaN : value / UNIT;
const listed = (place, numbers) => place === NO_INDEX ? NaN : numbers[place];

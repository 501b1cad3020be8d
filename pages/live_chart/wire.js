// The bytes that services/charts/wire.py writes.

const DTYPES = { u1: Uint8Array, i4: Int32Array, f4: Float32Array, f8: Float64Array }

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))
  return new Response(stream).arrayBuffer()
}

async function unpack(bytes) {
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "UHC1") throw new Error("chart bytes must start with UHC1")
  const packed = bytes.subarray(8)
  const body = bytes[4] & 1 ? await inflate(packed) : packed.slice().buffer
  const headerLength = new DataView(body).getUint32(0, true)
  const message = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 4, headerLength)))
  const arrays = message.arrays.map((a) => new DTYPES[a.dtype](body, 4 + headerLength + a.offset, a.length))
  message.figure = withArrays(message.figure, arrays)
  for (const matrix of Object.values(message.matrices)) {
    for (const field of ["codes", "time_edges_ms", "price_edges"]) matrix[field] = arrays[matrix[field]]
  }
  return message
}

function withArrays(node, arrays) {
  if (Array.isArray(node)) return node.map((item) => withArrays(item, arrays))
  if (node === null || typeof node !== "object") return node
  if ("$array" in node) return arrays[node.$array]
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, withArrays(value, arrays)]))
}

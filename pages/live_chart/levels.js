// Codes to display levels.
const NO_DATA = 255

// A trace's colour scale spans 0..255: 0 transparent, 255 "no data". `low` and `high` are the codes at which the
// colours begin and end; outside them a cell keeps the end colour. Hover always reads the codes, never the levels.

function levelTable(low, high, first, last) {
  const table = new Uint8Array(256)
  const span = Math.max(1, high - low)
  for (let code = 1; code < NO_DATA; code++) {
    const share = Math.min(1, Math.max(0, (code - low) / span))
    table[code] = Math.round(first + share * (last - first))
  }
  table[NO_DATA] = NO_DATA
  return table
}

function intensityLevels(matrix, meta) {
  const table = levelTable(meta.low, meta.high, 1, 254)
  return matrix.codes.map((code) => table[code])
}

// Long above the middle (128..254), short below it (127..1); a cell with both shows the larger side.
function signedLevels(long, short, meta) {
  const up = levelTable(meta.low, meta.high, 128, 254)
  const down = levelTable(meta.low, meta.high, 127, 1)
  return long.codes.map((code, cell) => {
    const other = short.codes[cell]
    if (code === NO_DATA) return other === NO_DATA ? NO_DATA : down[other]
    if (other === NO_DATA) return up[code]
    return code === 0 && other === 0 ? 0 : code >= other ? up[code] : down[other]
  })
}

function fillHeatmap(trace, matrices) {
  const meta = trace.meta
  const matrix = matrices[meta.kind === "signed" ? meta.long : meta.matrix]
  const levels =
    meta.kind === "signed" ? signedLevels(matrix, matrices[meta.short], meta) : intensityLevels(matrix, meta)
  trace.x = matrix.time_edges_ms
  trace.y = matrix.price_edges
  trace.z = Array.from({ length: matrix.rows }, (_, row) =>
    levels.subarray(row * matrix.columns, (row + 1) * matrix.columns)
  )
}

// What a cell says: read from the codes, never from colours.

// The mid at a column: its last known value before the column's end, if that is not older than the column.
function midAt(panel, column) {
  if (!panel.mid) return undefined
  const { times, prices } = panel.mid
  const [from, to] = [panel.matrix.time_edges_ms[column], panel.matrix.time_edges_ms[column + 1]]
  let [low, high] = [-1, times.length]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (times[middle] < to) low = middle
    else high = middle
  }
  const isKnown = low >= 0 && times[low] >= from - (to - from) && Number.isFinite(prices[low])
  return isKnown ? prices[low] : undefined
}

// USD of the cells from the one that holds the mid to this one, both included; NaN if one of them has no data.
function sumToMid(matrix, row, column, mid) {
  const home = cellIn(matrix.price_edges, mid)
  if (home < 0) return NaN
  let sum = 0
  for (let at = Math.min(row, home); at <= Math.max(row, home); at++) {
    sum += usdOf(matrix, matrix.codes[at * matrix.columns + column])
  }
  return sum
}

// The reading of a panel at a place: the cell, its amounts and what lies between it and the mid. null outside the matrix.
function readPanel(panel, x, y) {
  const [column, row] = [cellIn(panel.edges.x, x), cellIn(panel.edges.y, y)]
  if (column < 0 || row < 0) return null
  const mid = midAt(panel, column)
  const layers = panel.layers.map(({ matrix, label, none }) => ({
    label,
    none,
    usd: usdOf(matrix, matrix.codes[row * matrix.columns + column]),
    toMid: mid === undefined ? NaN : sumToMid(matrix, row, column, mid),
  }))
  const { time_edges_ms: times, price_edges: prices } = panel.matrix
  return { name: panel.name, column, row, mid, layers, times: [times[column], times[column + 1]], prices: [prices[row], prices[row + 1]] }
}

function amountLines({ layers, name }, isAlone) {
  if (layers.every((layer) => Number.isNaN(layer.usd))) return [isAlone ? "no data" : `${name}: no data`]
  return layers.map(({ usd: amount, label, none }) =>
    Number.isNaN(amount) ? `${label} no data` : amount === 0 ? none : `${usd(amount)} ${label}`
  )
}

function sumLines({ layers }) {
  return layers.filter(({ usd: own, toMid }) => toMid > own).map(({ toMid, label }) => `${usd(toMid)} ${label} to the mid`)
}

// The lines of a tip: the first reading is of the panel that is pointed at, others are of panels that share both axes.
function tipLines(readings, price, decimals) {
  const [first, ...others] = readings
  const distance = first.mid ? `  ${distanceWords((price / first.mid - 1) * 1e4)}` : ""
  const [from, to] = first.times
  const [low, high] = first.prices.map((edge) => priceWords(edge, decimals))
  return [
    { text: `${priceWords(price, decimals)}${distance}`, kind: "price" },
    ...[first, ...others].flatMap((reading) => [
      ...amountLines(reading, !others.length).map((text) => ({ text, kind: "amount" })),
      ...sumLines(reading).map((text) => ({ text, kind: "sum" })),
    ]),
    { text: timeWords(from), kind: "small" },
    { text: `cell ${low} – ${high}  ${duration(to - from)}`, kind: "small" },
  ]
}

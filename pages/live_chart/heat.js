// Heatmaps, painted by ourselves on a canvas under a transparent Plotly: a pixel looks its cell up in the codes, so the
// picture is exact for uneven edges too, and where cells are smaller than pixels the largest one shows, never none.

const SHORT = 256 // source codes of short cells begin here

// What is drawn of a signed pair: the larger side of each cell.
function merged(long, short) {
  const source = new Uint16Array(long.length)
  for (let cell = 0; cell < source.length; cell++) {
    const [a, b] = [long[cell], short[cell]]
    if (a === NO_DATA) source[cell] = b === 0 || b === NO_DATA ? b : SHORT + b
    else if (b === NO_DATA) source[cell] = a
    else source[cell] = a >= b ? a : SHORT + b
  }
  return source
}

function countCodes(matrices) {
  const counts = new Float64Array(256)
  for (const { codes } of matrices) for (let cell = 0; cell < codes.length; cell++) counts[codes[cell]]++
  return counts
}

function midTrace(data, trace) {
  const lines = data.filter(({ meta }) => meta?.role === "mid")
  return lines.find((line) => line.xaxis === trace.xaxis && line.yaxis === trace.yaxis) ?? lines[0]
}

// The heatmaps of a message. `source` holds one code a cell, price-major; `layers` are what a reader is told.
function panelsOf({ figure, matrices }) {
  return figure.data.flatMap((trace, index) => {
    const meta = trace.meta
    if (!meta?.kind) return []
    const isSigned = meta.kind === "signed"
    const layers = isSigned
      ? [
          { matrix: matrices[meta.long], label: "long", none: "no long" },
          { matrix: matrices[meta.short], label: "short", none: "no short" },
        ]
      : [{ matrix: matrices[meta.matrix], label: meta.label ?? "", none: `nothing ${meta.label ?? "there"}` }]
    const [first, second] = layers.map((layer) => layer.matrix)
    const mid = midTrace(figure.data, trace)
    return [
      {
        index,
        meta,
        layers,
        isSigned,
        matrix: first,
        name: meta.panel,
        x: trace.xaxis,
        y: trace.yaxis,
        source: isSigned ? merged(first.codes, second.codes) : first.codes,
        ranks: cumulatedShares(countCodes(layers.map((layer) => layer.matrix))),
        colours: levelColours(trace.colorscale),
        mid: mid && { times: mid.x, prices: mid.y },
      },
    ]
  })
}

// Edges of the cells as Plotly counts; the same for as long as the message is.
function measured(panel, layout) {
  if (!panel.edges) {
    const [x, y] = [layout[axisName(panel.x)], layout[axisName(panel.y)]]
    panel.edges = {
      x: Float64Array.from(panel.matrix.time_edges_ms, (ms) => x.d2l(ms)),
      y: Float64Array.from(panel.matrix.price_edges, (price) => y.d2l(price)),
    }
  }
  return panel.edges
}

// For each of n pixels from the low end of an axis: the first and last cell it shows, -1 outside the matrix.
function cellsOf(edges, [from, to], n) {
  const first = new Int32Array(n).fill(-1)
  const last = new Int32Array(n).fill(-1)
  const cells = edges.length - 1
  const step = (to - from) / n
  let cell = 0
  for (let pixel = 0; pixel < n; pixel++) {
    const start = from + pixel * step
    const middle = start + step / 2
    if (middle < edges[0] || middle >= edges[cells]) continue
    while (edges[cell + 1] <= start) cell++
    let centre = cell
    while (edges[centre + 1] <= middle) centre++
    if (edges[centre + 1] - edges[centre] >= step) {
      first[pixel] = last[pixel] = centre
      continue
    }
    let high = centre
    while (high < cells - 1 && edges[high + 1] < start + step) high++
    first[pixel] = cell
    last[pixel] = high
  }
  return { first, last }
}

const RANKS = Int16Array.from({ length: 512 }, (_, code) => (code === NO_DATA ? -1 : code & 255))

function strongest(source, from, to, stride) {
  let best = source[from]
  for (let at = from + stride; at <= to; at += stride) if (RANKS[source[at]] > RANKS[best]) best = source[at]
  return best
}

// One row of the matrix as pixels' codes.
function rowCodes(panel, row, columns, line) {
  const begin = row * panel.matrix.columns
  const { first, last } = columns
  for (let x = 0; x < line.length; x++) {
    const [a, b] = [first[x], last[x]]
    line[x] = a < 0 ? 0 : a === b ? panel.source[begin + a] : strongest(panel.source, begin + a, begin + b, 1)
  }
}

// Paints a panel into `pixels` (width x height, top row first).
function fillPixels(panel, spans, width, height, table, pixels) {
  const columns = cellsOf(panel.edges.x, spans.x, width)
  const rows = cellsOf(panel.edges.y, spans.y, height)
  const [line, other] = [new Uint16Array(width), new Uint16Array(width)]
  for (let y = 0; y < height; y++) {
    const fromBottom = height - 1 - y
    const [low, high] = [rows.first[fromBottom], rows.last[fromBottom]]
    const at = y * width
    if (y > 0 && low === rows.first[fromBottom + 1] && high === rows.last[fromBottom + 1]) {
      pixels.copyWithin(at, at - width, at)
      continue
    }
    if (low < 0) {
      pixels.fill(table[0], at, at + width)
      continue
    }
    rowCodes(panel, low, columns, line)
    for (let row = low + 1; row <= high; row++) {
      rowCodes(panel, row, columns, other)
      for (let x = 0; x < width; x++) if (RANKS[other[x]] > RANKS[line[x]]) line[x] = other[x]
    }
    for (let x = 0; x < width; x++) pixels[at + x] = table[line[x]]
  }
}

// Grounds and heatmaps of a chart, at `scale` device pixels a pixel.
function paintHeat(state, canvas, scale) {
  const layout = state.gd._fullLayout
  const { paper, plot } = state.grounds
  const [width, height] = [Math.round(layout.width * scale), Math.round(layout.height * scale)]
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  const context = canvas.getContext("2d", { alpha: false })
  context.fillStyle = paper
  context.fillRect(0, 0, width, height)
  context.fillStyle = plot
  const edge = (pixel) => Math.round(pixel * scale)
  const boxOf = ({ xaxis, yaxis }) => {
    const [left, top] = [edge(xaxis._offset), edge(yaxis._offset)]
    return [left, top, edge(xaxis._offset + xaxis._length) - left, edge(yaxis._offset + yaxis._length) - top]
  }
  for (const subplot of subplotsOf(state.gd)) context.fillRect(...boxOf(subplot))
  for (const panel of state.panels) {
    const axes = { xaxis: layout[axisName(panel.x)], yaxis: layout[axisName(panel.y)] }
    if (!axes.xaxis || !axes.yaxis) continue
    const [left, top, w, h] = boxOf(axes)
    if (w < 1 || h < 1) continue
    measured(panel, layout)
    panel.table ??= colourTable(panel, over(parseColour(plot), parseColour(paper)))
    const kept = state.images[panel.index]
    const image = kept?.width === w && kept.height === h ? kept : context.createImageData(w, h)
    if (canvas === state.canvas) state.images[panel.index] = image
    fillPixels(panel, { x: spanOf(axes.xaxis), y: spanOf(axes.yaxis) }, w, h, panel.table, new Uint32Array(image.data.buffer))
    context.putImageData(image, left, top)
  }
}

// After anything that moves axes or brings data: the heat, and all that lies over it.
function repaint(state) {
  if (!state.panels?.length || !state.gd._fullLayout?._plots || state.closed) return
  paintHeat(state, state.canvas, window.devicePixelRatio || 1)
  placeBars(state)
  placeBox(state)
  placeCross(state)
}

function repaintLook(state) {
  for (const panel of state.panels ?? []) panel.table = undefined
  repaint(state)
  fillBars(state)
}

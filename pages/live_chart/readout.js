// What a pointer over a heatmap reads.

function cellLines(state, trace, row, column) {
  const { matrices } = state.message
  const meta = trace.meta
  const matrix = matrices[meta.kind === "signed" ? meta.long : meta.matrix]
  const read = (name) => {
    const source = matrices[name]
    const code = source.codes[row * source.columns + column]
    if (code === NO_DATA) return null
    return code === 0 ? 0 : source.usd_min * source.usd_ratio ** (code - 1)
  }
  const decimals = state.message.figure.layout.meta.price_decimals ?? 2
  const price = (p) =>
    p.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
  const [from, to] = [matrix.time_edges_ms[column], matrix.time_edges_ms[column + 1]]
  const words = (value, label, none) => (value === null ? "no data" : value === 0 ? none : `${usd(value)} ${label}`)
  const lines = [
    `${clock(from, Date.now() - from > 72e6)}  +${duration(to - from)}`,
    `${price(matrix.price_edges[row])} – ${price(matrix.price_edges[row + 1])}`,
  ]
  if (meta.kind === "signed") {
    lines.push(words(read(meta.long), "long", "no long"), words(read(meta.short), "short", "no short"))
    return lines[2] === "no data" && lines[3] === "no data" ? lines.slice(0, 3) : lines
  }
  lines.push(words(read(meta.matrix), meta.label ?? "", `nothing ${meta.label ?? "there"}`))
  return lines
}

function placeTip(state, event, lines) {
  const { tip, root } = state
  tip.replaceChildren(
    ...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line }))
  )
  tip.hidden = false
  const box = root.getBoundingClientRect()
  const [x, y] = [event.clientX - box.left, event.clientY - box.top]
  const left = x + 16 + tip.offsetWidth > box.width ? x - 16 - tip.offsetWidth : x + 16
  tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.min(y + 12, box.height - tip.offsetHeight)}px)`
}

function leave(state) {
  state.hovering = undefined
  state.tip.hidden = true
}

function onHover(state, event) {
  const point = event.points.find((p) => p.fullData.type === "heatmap")
  if (!point || event.points.length > 1) return leave(state)
  const [row, column] = point.pointNumber
  state.hovering = { event: event.event, subplot: point.xaxis._id + point.yaxis._id }
  placeTip(state, event.event, cellLines(state, state.gd.data[point.curveNumber], row, column))
}

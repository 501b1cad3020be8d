// The figure as Plotly takes it, and drawing it.

const COMPACT_BELOW_PX = 640

// A copy of `node` with the value at a dotted path replaced; what is not on the path is shared.
function patched(node, [key, ...rest], value) {
  const copy = Array.isArray(node) ? [...node] : { ...node }
  copy[key] = rest.length ? patched(copy[key] ?? {}, rest, value) : value
  return copy
}

function patchAll(node, patches) {
  return Object.entries(patches ?? {}).reduce((done, [path, value]) => patched(done, path.split("."), value), node)
}

// The figure as Plotly takes it: matrices filled in, the phone's layout on a narrow container, the user's own ranges.
function drawable(state) {
  const { figure, matrices, height } = state.message
  const compact = state.compact ? figure.layout.meta?.compact : undefined
  const data = figure.data.map((trace, index) => patchAll({ ...trace }, compact?.data?.[index]))
  for (const trace of data) if (trace.meta?.kind) fillHeatmap(trace, matrices)
  const layout = structuredClone(patchAll(figure.layout, compact?.layout))
  const style = getComputedStyle(state.root)
  layout.font = { ...layout.font, family: style.fontFamily }
  layout.autosize = true
  layout.height = height
  if (state.coarse) layout.dragmode = false
  for (const note of layout.annotations ?? []) {
    if (note.text?.includes("{tz}")) note.text = note.text.replace("{tz}", zoneName(Date.now()))
  }
  for (const [axis, range] of Object.entries(state.ranges)) {
    if (layout[axis]) Object.assign(layout[axis], { range, autorange: false })
  }
  return { data, layout }
}

// The buttons are listed one by one: Plotly's own set has one that sends the figure to a server of its makers.
const CONFIG = {
  displaylogo: false,
  doubleClick: false,
  scrollZoom: true,
  plotlyServerURL: "",
  modeBarButtons: [["zoom2d", "pan2d", "toImage"]],
  toImageButtonOptions: { filename: "unified-heatmap", scale: 2 },
}

// A refresh must not tear a zoom box from under the pointer: it waits until the drag has ended.
async function draw(state) {
  if (!state.message || !state.plotly || state.closed) return
  if (state.gd._dragging || state.drawing) {
    clearTimeout(state.retry)
    state.retry = setTimeout(() => draw(state), 80)
    return
  }
  state.drawing = true
  try {
    state.compact = state.root.clientWidth < COMPACT_BELOW_PX
    const { data, layout } = drawable(state)
    await state.plotly.react(state.gd, data, layout, { ...CONFIG, displayModeBar: state.coarse ? false : "hover" })
    if (!state.listening) listen(state)
    // Under a resting pointer the cell has changed: ask again.
    if (state.hovering) state.plotly.Fx.hover(state.gd, state.hovering.event, state.hovering.subplot)
    state.root.dataset.revision = state.message.revision
  } finally {
    state.drawing = false
  }
}

function rememberRanges(state, event) {
  for (const [name, value] of Object.entries(event)) {
    const match = /^([xy]axis\d*)\.range(?:\[([01])\])?$/.exec(name)
    if (!match) continue
    const [, axis, end] = match
    const now = state.gd._fullLayout[axis]?.range
    if (now) state.ranges[axis] = [...now]
    if (end !== undefined && state.ranges[axis]) state.ranges[axis][Number(end)] = value
  }
}

function listen(state) {
  state.listening = true
  state.gd.on("plotly_relayout", (event) => rememberRanges(state, event))
  state.gd.on("plotly_doubleclick", () => {
    state.ranges = {}
    draw(state)
  })
  state.gd.on("plotly_hover", (event) => onHover(state, event))
  state.gd.on("plotly_unhover", () => leave(state))
}

// The figure as Plotly takes it, and drawing it.

const COMPACT_BELOW_PX = 640
const TRANSPARENT = "rgba(0,0,0,0)"
const AXIS = /^[xy]axis\d*$/

// A copy of `node` with the value at a dotted path replaced; what is not on the path is shared.
function patched(node, [key, ...rest], value) {
  const copy = Array.isArray(node) ? [...node] : { ...node }
  copy[key] = rest.length ? patched(copy[key] ?? {}, rest, value) : value
  return copy
}

function patchAll(node, patches) {
  return Object.entries(patches ?? {}).reduce((done, [path, value]) => patched(done, path.split("."), value), node)
}

// What Plotly keeps of a heatmap: its place among the traces, and its axes.
function placeholder({ xaxis, yaxis }) {
  return { type: "scatter", mode: "lines", x: [], y: [], xaxis, yaxis, hoverinfo: "skip" }
}

// The ground shows through Plotly, so that the heat can lie under its lines; we paint it ourselves.
function clearGrounds(state, layout) {
  const of = layout.template?.layout ?? {}
  state.grounds = {
    paper: layout.paper_bgcolor ?? of.paper_bgcolor ?? "#ffffff",
    plot: layout.plot_bgcolor ?? of.plot_bgcolor ?? "#ffffff",
  }
  layout.paper_bgcolor = layout.plot_bgcolor = TRANSPARENT
  for (const [name, axis] of Object.entries(layout)) {
    if (!AXIS.test(name)) continue
    axis.showspikes = false
    if (name[0] === "y") axis.ticklabeloverflow = "allow" // measuring each label to hide some costs a tenth of a refresh
  }
}

// The figure as Plotly takes it: the phone's layout on a narrow container, the user's own ranges.
function drawable(state) {
  const { figure } = state.message
  const compact = state.compact ? figure.layout.meta?.compact : undefined
  const data = figure.data.map((trace, index) => patchAll({ ...trace }, compact?.data?.[index]))
  state.barPlaces = Object.fromEntries(state.panels.map(({ index }) => [index, data[index].colorbar]))
  for (const { index } of state.panels) data[index] = placeholder(data[index])
  const layout = structuredClone(patchAll(figure.layout, compact?.layout))
  delete layout.meta
  if (state.panels.length) clearGrounds(state, layout)
  layout.font = { ...layout.font, family: getComputedStyle(state.root).fontFamily }
  layout.autosize = true
  layout.height = state.height
  if (state.coarse) layout.dragmode = false
  layout.annotations = (layout.annotations ?? []).filter(({ text }) => text) // an empty one would be a dot of ground
  for (const note of layout.annotations) {
    if (note.text?.includes("{tz}")) note.text = note.text.replace("{tz}", zoneName(Date.now()))
  }
  // The ranges are ours to keep: Plotly would bring a zoom back that was just reset.
  state.draws = (state.draws ?? 0) + 1
  for (const name of Object.keys(layout)) if (AXIS.test(name)) layout[name].uirevision = state.draws
  for (const [name, range] of Object.entries(state.ranges)) {
    const axis = state.gd._fullLayout?.[name]
    if (layout[name] && axis) Object.assign(layout[name], { range: range.map((end) => axis.l2r(end)), autorange: false })
  }
  return { data, layout }
}

// The buttons are listed one by one: Plotly's own set has one that sends the figure to a server of its makers.
function configOf(state) {
  const picture = { name: "picture", title: "Download as PNG", icon: state.plotly.Icons.camera, click: () => download(state) }
  return {
    displaylogo: false,
    doubleClick: false,
    scrollZoom: true,
    plotlyServerURL: "",
    modeBarButtons: [["zoom2d", "pan2d", picture]],
    displayModeBar: state.coarse ? false : "hover",
  }
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
    state.panels = state.read
    syncBars(state)
    const { data, layout } = drawable(state)
    state.config ??= configOf(state)
    await state.plotly.react(state.gd, data, layout, state.config)
    if (!state.listening) listen(state)
    repaint(state)
    fillBars(state)
    state.root.dataset.revision = state.message.revision
  } finally {
    state.drawing = false
  }
}

function listen(state) {
  state.listening = true
  restoreBox(state)
  state.gd.on("plotly_relayout", (event) => {
    rememberRanges(state, event)
    repaint(state)
  })
  state.gd.on("plotly_relayouting", () => repaint(state))
  state.gd.on("plotly_doubleclick", () => resetView(state))
  for (const name of ["plotly_hover", "plotly_unhover"]) state.gd.on(name, () => state.cursor && placeCross(state))
}

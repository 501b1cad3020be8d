// The chart without a mouse. The list is what a page may show as help.

const SHORTCUTS = [
  ["← → ↑ ↓", "move the crosshair by a cell (with Shift by ten)"],
  ["Home / End", "first or last column"],
  ["Space", "set a corner of a box, then the other"],
  ["+ / −", "zoom in or out around the crosshair"],
  ["0", "show everything again"],
  ["Esc", "clear the box, then the crosshair"],
  ["Shift + drag", "mark a box"],
  ["Ctrl + wheel", "zoom"],
  ["double click", "show everything again, clear the box"],
]
window.uhChartShortcuts = SHORTCUTS

const ZOOM_STEP = 1.4
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }

function say(state, words) {
  state.live.textContent = words
}

// The panel and cell of the crosshair; without one, the last column at its mid, or the middle of what is shown.
function currentCell(state) {
  const layout = state.gd._fullLayout
  const own = state.panels.find((panel) => panel.x === state.cursor?.xaxis && panel.y === state.cursor?.yaxis)
  const panel = own ?? state.panels[0]
  const { xaxis, yaxis } = panelAxes(state, panel)
  const edges = measured(panel, layout)
  const clamp = (cells, value) => (value < cells[0] ? 0 : value >= cells.at(-1) ? cells.length - 2 : cellIn(cells, value))
  if (own) return { panel, column: clamp(edges.x, state.cursor.x), row: clamp(edges.y, state.cursor.y), isNew: false }
  const column = clamp(edges.x, spanOf(xaxis)[1] - 1e-6)
  const mid = midAt(panel, column)
  const middle = spanOf(yaxis).reduce((a, b) => a + b) / 2
  return { panel, column, row: clamp(edges.y, mid === undefined ? middle : yaxis.d2l(mid)), isNew: true }
}

function moveCell(state, [across, up], steps) {
  const { panel, column, row, isNew } = currentCell(state)
  const { edges } = panel
  const go = (at, by, last) => (isNew ? at : Math.max(0, Math.min(last, at + by * steps)))
  standOn(state, panel, go(column, across, edges.x.length - 2), go(row, up, edges.y.length - 2))
}

function standOn(state, panel, column, row) {
  const { x, y } = panel.edges
  const middle = (edges, at) => (edges[at] + edges[at + 1]) / 2
  state.cursor = { xaxis: panel.x, yaxis: panel.y, x: middle(x, column), y: middle(y, row), by: "keys" }
  keepInView(state, panel)
  placeCross(state)
  shareCross(state)
  const reading = readPanel(panel, state.cursor.x, state.cursor.y)
  const decimals = state.message.figure.layout.meta.price_decimals ?? 2
  const price = (reading.prices[0] + reading.prices[1]) / 2
  say(state, tipLines([reading], price, decimals).slice(0, -1).map(({ text }) => text).join(", "))
}

function keepInView(state, panel) {
  const { xaxis, yaxis } = panelAxes(state, panel)
  const change = {}
  for (const [axis, at] of [[xaxis, state.cursor.x], [yaxis, state.cursor.y]]) {
    const [from, to] = spanOf(axis)
    const by = at < from ? at - from : at > to ? at - to : 0
    if (by) change[axis._name] = [from + by, to + by]
  }
  if (Object.keys(change).length) zoomTo(state, change)
}

// Ranges by axis, in Plotly's counting.
function zoomTo(state, ranges) {
  const layout = state.gd._fullLayout
  const change = {}
  for (const [name, range] of Object.entries(ranges)) change[`${name}.range`] = range.map((end) => layout[name].l2r(end))
  return state.plotly.relayout(state.gd, change)
}

function zoomBy(state, factor) {
  const { panel } = currentCell(state)
  const { xaxis, yaxis } = panelAxes(state, panel)
  const ranges = {}
  for (const [axis, at] of [[xaxis, state.cursor?.x], [yaxis, state.cursor?.y]]) {
    const [from, to] = spanOf(axis)
    const centre = at >= from && at <= to ? at : (from + to) / 2
    ranges[axis._name] = [centre + (from - centre) * factor, centre + (to - centre) * factor]
  }
  zoomTo(state, ranges)
}

function setCorner(state) {
  const { panel, column, row, isNew } = currentCell(state)
  if (isNew || state.corner?.panel !== panel.name) {
    standOn(state, panel, column, row)
    state.corner = { panel: panel.name, column, row }
    return say(state, "One corner of a box is set; move to the other and press Space again")
  }
  const { corner } = state
  state.corner = undefined
  const sorted = (a, b) => (a <= b ? [a, b + 1] : [b, a + 1])
  const [x, y] = [sorted(corner.column, column), sorted(corner.row, row)]
  state.box = { panel: panel.name, x: x.map((at) => panel.edges.x[at]), y: y.map((at) => panel.edges.y[at]) }
  placeBox(state)
  tellBox(state)
}

function onEscape(state) {
  if (state.box || state.corner) clearBox(state)
  else leaveCross(state)
}

function onKey(state, event) {
  if (!state.listening || !state.panels?.length || event.ctrlKey || event.metaKey || event.altKey) return
  const { key } = event
  const edge = (last) => {
    const { panel, row } = currentCell(state)
    standOn(state, panel, last ? panel.matrix.columns - 1 : 0, row)
  }
  const actions = {
    Home: () => edge(false),
    End: () => edge(true),
    " ": () => setCorner(state),
    "+": () => zoomBy(state, 1 / ZOOM_STEP),
    "=": () => zoomBy(state, 1 / ZOOM_STEP),
    "-": () => zoomBy(state, ZOOM_STEP),
    0: () => resetView(state),
    Escape: () => onEscape(state),
  }
  const action = MOVES[key] ? () => moveCell(state, MOVES[key], event.shiftKey ? 10 : 1) : actions[key]
  if (!action) return
  event.preventDefault()
  event.stopPropagation()
  action()
}

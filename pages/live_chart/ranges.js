// The user's own ranges: kept over refreshes, sliding along while their right end is at "now", and shared with the
// charts of the same `link`.

const AT_THE_END = 0.02 // of the width that is shown

function rangesOf(event) {
  const changed = new Set()
  for (const name of Object.keys(event)) {
    const match = /^([xy]axis\d*)\.range(?:\[[01]\])?$/.exec(name)
    if (match) changed.add(match[1])
  }
  return [...changed]
}

function rememberRanges(state, event) {
  const names = rangesOf(event).filter((name) => state.gd._fullLayout[name])
  for (const name of names) {
    const axis = state.gd._fullLayout[name]
    state.ranges[name] = spanOf(axis)
    if (axis.type === "date") state.follows[name] = isAtTheEnd(state, axis, state.ranges[name])
  }
  if (names.length && !state.isEcho) tellLinked(state, names)
}

function endOf(state, axis) {
  const range = state.message.figure.layout[axis._name]?.range
  return range && axis.d2l(range[1])
}

function isAtTheEnd(state, axis, [from, to]) {
  const end = endOf(state, axis)
  return end !== undefined && to >= end - AT_THE_END * (to - from)
}

// Before new data are drawn: ranges that end at "now" move on by as much as the window has.
function slideRanges(state, message) {
  for (const [name, follows] of Object.entries(state.follows)) {
    const axis = state.gd._fullLayout?.[name]
    const next = message.figure.layout[name]?.range
    if (!follows || !axis || !next || !state.ranges[name]) continue
    const by = axis.d2l(next[1]) - endOf(state, axis)
    state.ranges[name] = state.ranges[name].map((end) => end + by)
  }
}

function resetView(state, isEcho = false) {
  state.ranges = {}
  state.follows = {}
  clearBox(state)
  draw(state)
  if (!isEcho) for (const peer of peersOf(state)) resetView(peer, true)
}

// ---- linked charts -----------------------------------------------------------------------------------------------------

const linked = (window.uhLinked ??= new Set())

function peersOf(state) {
  const link = state.message?.figure.layout.meta?.link
  if (!link) return []
  return [...linked].filter((peer) => peer !== state && peer.message?.figure.layout.meta?.link === link && peer.listening)
}

function linkAxes(state) {
  const layout = state.gd._fullLayout
  const names = Object.keys(layout).filter((name) => AXIS.test(name) && !layout[name].matches && !layout[name].overlaying)
  const prices = new Set(state.panels.map((panel) => groupOf(layout[axisName(panel.y)])))
  const isLinked = (axis) => axis.type === "date" || (prices.has(axis._id) && !state.message.figure.layout.meta.link.startsWith("time:"))
  return names.map((name) => layout[name]).filter(isLinked)
}

function tellLinked(state, names) {
  const peers = peersOf(state)
  if (!peers.length) return
  const kinds = {}
  const changed = new Set(names.map((name) => groupOf(state.gd._fullLayout[name])))
  for (const axis of linkAxes(state)) if (changed.has(axis._id)) kinds[axis.type === "date" ? "time" : "price"] = spanOf(axis)
  for (const peer of peers) {
    const ranges = {}
    for (const axis of linkAxes(peer)) {
      const span = kinds[axis.type === "date" ? "time" : "price"]
      if (span) ranges[axis._name] = span
    }
    if (!Object.keys(ranges).length) continue
    peer.isEcho = true
    Promise.resolve(zoomTo(peer, ranges)).finally(() => (peer.isEcho = false))
  }
}

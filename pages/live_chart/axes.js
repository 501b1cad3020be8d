// Plotly's axes as plain numbers: "linear" is what Plotly counts in (local milliseconds, price or its logarithm).

function axisName(id) {
  return `${id[0]}axis${id.slice(1)}`
}

// Axes that move together have one group.
function groupOf(axis) {
  return axis.matches ?? axis._id
}

function spanOf(axis) {
  return [axis.r2l(axis.range[0]), axis.r2l(axis.range[1])]
}

function toPixel(axis, linear) {
  const [from, to] = spanOf(axis)
  const share = (linear - from) / (to - from)
  return axis._offset + axis._length * (axis._id[0] === "x" ? share : 1 - share)
}

function toLinear(axis, pixel) {
  const [from, to] = spanOf(axis)
  const share = (pixel - axis._offset) / axis._length
  return from + (to - from) * (axis._id[0] === "x" ? share : 1 - share)
}

// Plotly draws an instant at the visitor's wall clock; this is the way back, also across a change of the clocks.
function instantOf(linear) {
  const offset = (ms) => new Date(ms).getTimezoneOffset() * 60000
  return linear + offset(linear + offset(linear))
}

function valueOf(axis, linear) {
  return axis.type === "date" ? instantOf(linear) : axis.l2d(linear)
}

// The subplots as rectangles; of two that lie on one another, the one below.
function subplotsOf(gd) {
  const plots = Object.values(gd._fullLayout?._plots ?? {})
  return plots.filter(({ xaxis, yaxis }) => !xaxis.overlaying && !yaxis.overlaying)
}

function isInside({ xaxis, yaxis }, x, y) {
  const [dx, dy] = [x - xaxis._offset, y - yaxis._offset]
  return dx >= 0 && dx <= xaxis._length && dy >= 0 && dy <= yaxis._length
}

// The cell of rising edges that holds a value, lower edge included; -1 outside.
function cellIn(edges, value) {
  let [low, high] = [0, edges.length - 1]
  if (!(value >= edges[low] && value < edges[high])) return -1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (edges[middle] <= value) low = middle
    else high = middle
  }
  return low
}

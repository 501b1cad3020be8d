// Small heatmaps, each on a canvas: the codes of a matrix as pixels, stretched without smoothing, the price over them. A map is
// painted anew only where its bytes say something new. Reader and words come from live_chart/wire.js and words.js.

const NOTHING_SEEN = 255
const grids = new WeakMap()

function part(className, parent, tag = "div") {
  const made = document.createElement(tag)
  made.className = className
  parent.append(made)
  return made
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))
}

// Colours of the codes 1 … 254 between `low` and `high`, as the large charts have them, one 32-bit pixel a code.
function ramp(colours, low, high) {
  const stops = colours.map(rgb)
  const table = new Uint32Array(256)
  for (let code = 1; code < NOTHING_SEEN; code++) {
    const share = Math.min(1, Math.max(0, (code - low) / Math.max(1, high - low))) * (stops.length - 1)
    const first = Math.min(Math.floor(share), stops.length - 2)
    const [red, green, blue] = [0, 1, 2].map((at) => stops[first][at] + (share - first) * (stops[first + 1][at] - stops[first][at]))
    table[code] = pixel(red, green, blue, 255)
  }
  return table
}

function pixel(red, green, blue, alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0 // every browser's machine is little-endian
}

function pixels(map, matrices, colours) {
  const codes = map.matrices.map((name) => matrices[`${map.key}/${name}`].codes)
  const ramps = map.matrices.map((name) => ramp(colours[name === "book" ? "heat" : name], map.low, map.high))
  const { rows, columns } = matrices[`${map.key}/${map.matrices[0]}`]
  const image = new ImageData(columns, rows)
  const out = new Uint32Array(image.data.buffer)
  const [hatch, hole] = [pixel(132, 147, 168, 70), pixel(132, 147, 168, 26)]
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const cell = row * columns + column
      let chosen = 0
      if (codes.length === 2 && codes[1][cell] !== NOTHING_SEEN) {
        chosen = codes[0][cell] === NOTHING_SEEN || codes[1][cell] > codes[0][cell] ? 1 : 0
      }
      const code = codes[chosen][cell]
      const at = (rows - 1 - row) * columns + column
      out[at] = code === NOTHING_SEEN ? ((row + column) % 4 === 0 ? hatch : hole) : ramps[chosen][code]
    }
  }
  return image
}

function linePath(context, map, matrix, width, height) {
  const [first, last] = [matrix.time_edges_ms[0], matrix.time_edges_ms.at(-1)]
  const x = (ms) => ((ms - first) / (last - first)) * width
  const y = (price) => height - ((price - map.price_low) / (map.price_high - map.price_low)) * height
  context.beginPath()
  let isOpen = false
  map.prices.forEach((price, index) => {
    if (Number.isNaN(price)) isOpen = false
    else {
      context[isOpen ? "lineTo" : "moveTo"](x(map.times_ms[index]), y(price))
      isOpen = true
    }
  })
  return y
}

function paint(card, map, matrices, colours) {
  const { canvas, width, height } = card // as measured when they last changed: to ask here would lay out the page for each map
  if (!width || !height) return
  const ratio = Math.min(window.devicePixelRatio || 1, 2)
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio)
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio)
  const context = canvas.getContext("2d")
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.fillStyle = colours.plot
  context.fillRect(0, 0, width, height)
  if (!map.matrices.length) return
  const matrix = matrices[`${map.key}/${map.matrices[0]}`]
  const image = pixels(map, matrices, colours)
  card.source ??= document.createElement("canvas")
  const { source } = card
  source.width = image.width
  source.height = image.height
  source.getContext("2d").putImageData(image, 0, 0)
  context.imageSmoothingEnabled = false
  context.drawImage(source, 0, 0, width, height)
  const y = linePath(context, map, matrix, width, height)
  context.lineJoin = "round"
  for (const [colour, size] of [[colours.halo, 3.4], [colours.line, 1.3]]) {
    context.strokeStyle = colour
    context.lineWidth = size
    context.stroke()
  }
  if (map.mark_price !== null) {
    context.setLineDash([4, 3])
    context.strokeStyle = colours.muted
    context.lineWidth = 1
    context.beginPath()
    context.moveTo(0, y(map.mark_price))
    context.lineTo(width, y(map.mark_price))
    context.stroke()
    context.setLineDash([])
  }
  if (map.price !== null) {
    context.fillStyle = colours.line
    context.beginPath()
    context.arc(width - 4, y(map.price), 2.6, 0, 2 * Math.PI)
    context.fill()
  }
}

function read(card, event) {
  const { map, matrices } = card
  if (!map?.matrices.length) return
  const box = card.canvas.getBoundingClientRect()
  const matrix = matrices[`${map.key}/${map.matrices[0]}`]
  const column = Math.min(matrix.columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * matrix.columns)))
  const row = Math.min(matrix.rows - 1, Math.max(0, Math.floor((1 - (event.clientY - box.top) / box.height) * matrix.rows)))
  const amounts = map.matrices.map((name) => {
    const each = matrices[`${map.key}/${name}`]
    const code = each.codes[row * each.columns + column]
    if (code === NOTHING_SEEN) return "not watched"
    const told = code === 0 ? "0 $" : usd(each.usd_min * each.usd_ratio ** (code - 1))
    return name === "book" ? told : `${name} ${told}`
  })
  const price = (matrix.price_edges[row] + matrix.price_edges[row + 1]) / 2
  card.read.textContent = `${clock(matrix.time_edges_ms[column])} · ${priceWords(price, map.decimals)} · ${[...new Set(amounts)].join(", ")}`
}

function address(id) {
  const asked = new URLSearchParams(location.search)
  for (const name of [...asked.keys()]) if (name.startsWith("watch_")) asked.delete(name)
  asked.set("instrument", id)
  return `${new URL(".", location.href).pathname}?${asked}`
}

function makeCard(state) {
  const link = part("map", state.grid, "a")
  const head = part("head", link)
  const picture = part("picture", link)
  const card = { link, name: part("name", head, "span"), price: part("price", head, "span") }
  card.canvas = part("", picture, "canvas")
  card.canvas.setAttribute("role", "img")
  card.read = part("read", picture)
  card.detail = part("detail", link)
  picture.onpointermove = (event) => read(card, event)
  picture.onpointerleave = () => (card.read.textContent = "")
  return card
}

function renew(card, map, message) {
  const isSame = card.map !== undefined && card.map.key === map.key && card.map.revision === map.revision
  if (isSame && card.colours.plot === message.figure.colours.plot) return
  Object.assign(card, { map, matrices: message.matrices, colours: message.figure.colours })
  card.link.href = address(map.key)
  card.name.textContent = map.name
  card.price.textContent = map.head
  card.detail.textContent = map.detail
  card.detail.title = map.detail
  card.canvas.setAttribute("aria-label", map.alt)
  paint(card, map, message.matrices, message.figure.colours)
}

function measure(state) {
  for (const card of state.cards) Object.assign(card, { width: card.canvas.clientWidth, height: card.canvas.clientHeight })
}

function mount(parent) {
  const root = part("maps", parent)
  const state = { root, grid: part("grid", root), cards: [], sequence: 0 }
  state.observer = new ResizeObserver(() => {
    measure(state)
    for (const card of state.cards) if (card.map) paint(card, card.map, card.matrices, card.colours)
  })
  state.observer.observe(root)
  return state
}

export default function (component) {
  const { parentElement, data } = component
  let state = grids.get(parentElement)
  if (!state) grids.set(parentElement, (state = mount(parentElement)))
  const sequence = ++state.sequence
  unpack(data).then((message) => {
    if (sequence !== state.sequence) return // a newer one came while this was inflated
    const begun = performance.now()
    const { maps, across } = message.figure
    state.grid.style.setProperty("--across", across)
    while (state.cards.length > maps.length) state.cards.pop().link.remove()
    const isNew = state.cards.length < maps.length || state.across !== across
    while (state.cards.length < maps.length) state.cards.push(makeCard(state))
    state.across = across
    if (isNew) measure(state)
    maps.forEach((map, index) => renew(state.cards[index], map, message))
    state.root.dataset.paintMs = (performance.now() - begun).toFixed(1)
    state.root.dataset.revision = message.revision
  })
  return () => state.observer.disconnect()
}

// The table of the list of instruments: drawn once, then each cell is renewed only where it changed, so that focus, hover and
// the place that was scrolled to stay. What it shows comes from services/views/watch_words.py; all of it is written as text.

const tables = new WeakMap()
const SVG = "http://www.w3.org/2000/svg"
const SPARK = { width: 104, height: 28, margin: 3 }

function node(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

const tone = (sign) => (sign > 0 ? "up" : sign < 0 ? "down" : "flat")

// ---- cells -----------------------------------------------------------------------------------------------------------

function runs(points) {
  const found = []
  let run = []
  points.forEach((height, index) => {
    if (height !== null) run.push([index, height])
    if ((height === null || index === points.length - 1) && run.length) {
      found.push(run)
      run = []
    }
  })
  return found
}

function spark(cell) {
  const { width, height, margin } = SPARK
  const x = (index) => margin + (index / Math.max(cell.p.length - 1, 1)) * (width - 2 * margin)
  const y = (value) => height - margin - (value / 100) * (height - 2 * margin)
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: `spark ${tone(cell.s)}`, role: "img", "aria-label": cell.h })
  for (const run of runs(cell.p)) {
    const line = run.map(([index, value]) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ")
    picture.append(
      svg("polygon", { points: `${x(run[0][0])},${height} ${line} ${x(run.at(-1)[0])},${height}`, class: "area" }),
      svg("polyline", { points: line, class: "line" })
    )
  }
  const last = cell.p.length - 1
  if (cell.p[last] !== null) picture.append(svg("circle", { cx: x(last), cy: y(cell.p[last]), r: 2.2, class: "end" }))
  return [picture]
}

function split(cell, most) {
  const box = node("span", "split")
  const head = node("span", "split-head")
  head.append(node("span", "main", `${cell.a ? "≥ " : ""}${cell.t}`), node("span", "side", cell.n))
  const bar = node("span", "bar")
  const filled = node("span", "filled")
  filled.style.width = `${most > 0 ? Math.max(Math.sqrt(cell.v / most) * 100, cell.v > 0 ? 4 : 0) : 0}%`
  const longs = node("span", "longs")
  longs.style.width = `${cell.l * 100}%`
  filled.append(longs)
  bar.append(filled)
  box.append(head, bar)
  return [box]
}

function level(cell) {
  const pill = node("span", `pill ${cell.g}`)
  pill.append(node("span", "main", cell.t), node("span", "side", cell.u))
  if (cell.a) pill.classList.add("old")
  return [pill]
}

function centre(cell) {
  const box = node("span", "centre")
  const bar = node("span", "axis")
  const part = node("span", cell.v >= 0 ? "bids" : "asks")
  part.style.width = `${Math.min(Math.abs(cell.v), 1) * 50}%`
  bar.append(part)
  box.append(node("span", `main ${tone(cell.v)}`, cell.t), bar)
  return [box]
}

function feeds(cell) {
  const box = node("span", "feeds")
  for (const feed of cell.f) {
    const chip = node("span", `feed ${feed.f}`)
    chip.append(node("span", "dot"), node("span", "letter", feed.x.slice(0, 2)))
    box.append(chip)
  }
  return [box]
}

const KINDS = {
  number: (cell) => [node("span", "main", cell.t)],
  signed: (cell) => [node("span", `main ${tone(cell.s)}`, cell.t)],
  spark, split, level, centre, feeds,
}

function draw(place, kind, cell, most) {
  if (cell.m !== undefined) {
    const dash = node("span", "missing", "–")
    dash.setAttribute("aria-label", `not known: ${cell.m}`)
    place.replaceChildren(dash)
    place.title = cell.m
    return
  }
  place.replaceChildren(...KINDS[kind](cell, most))
  place.title = cell.h ?? ""
}

function flash(place, sign) {
  if (!sign) return
  place.classList.remove("rose", "fell")
  void place.offsetWidth // begins the animation anew
  place.classList.add(sign > 0 ? "rose" : "fell")
}

// ---- rows ------------------------------------------------------------------------------------------------------------

function address(id) {
  const asked = new URLSearchParams(location.search)
  for (const name of [...asked.keys()]) if (name.startsWith("watch_")) asked.delete(name)
  asked.set("instrument", id)
  return `${new URL(".", location.href).pathname}?${asked}`
}

function makeRow(row, columns) {
  const tr = node("tr")
  const name = node("th", "name")
  name.scope = "row"
  const link = node("a")
  link.append(node("span", "base", row.name[0]), node("span", "quote", row.name[1]))
  link.setAttribute("aria-label", `${row.id}: open Combined insights`)
  name.append(link)
  tr.append(name)
  const cells = {}
  for (const column of columns) {
    const td = node("td", `kind-${column.kind}`)
    td.dataset.label = column.label
    cells[column.id] = { td, told: "" }
    tr.append(td)
  }
  tr.onclick = (event) => {
    if (!link.contains(event.target)) link.click() // a link, so that it opens in a tab of its own as any other does
  }
  return { tr, link, cells, row }
}

function renew(state, made, row, columns, most) {
  made.row = row
  made.link.href = address(row.id)
  for (const column of columns) {
    const cell = row.cells[column.id]
    const told = `${JSON.stringify(cell)}/${column.kind === "split" ? most[column.id] : ""}`
    const place = made.cells[column.id]
    if (told === place.told) continue
    const before = place.value
    draw(place.td, column.kind, cell, most[column.id])
    place.told = told
    place.value = cell.v
    if (column.id === "price" && before !== undefined && cell.v !== undefined) flash(place.td, Math.sign(cell.v - before))
  }
}

function value(row, id) {
  return id === "name" ? row.id : row.cells[id]?.v
}

function order(rows, sort) {
  const [id, direction] = (sort ?? "").split(".")
  if (!id || !rows.length || (id !== "name" && !(id in rows[0].cells))) return rows
  const sign = direction === "asc" ? 1 : -1
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a, id), value(b, id)]
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined)
    return sign * (x < y ? -1 : x > y ? 1 : 0)
  })
}

// ---- the head ----------------------------------------------------------------------------------------------------------

function next(sort, id) {
  const [now, direction] = (sort ?? "").split(".")
  const first = id === "name" ? "asc" : "desc"
  if (now !== id) return `${id}.${first}`
  return direction === first ? `${id}.${first === "asc" ? "desc" : "asc"}` : ""
}

function makeHead(state, columns) {
  const tr = node("tr")
  state.heads = {}
  for (const column of [{ id: "name", title: "Instrument", help: "A press opens Combined insights", kind: "name" }, ...columns]) {
    const th = node("th", `kind-${column.kind}`)
    th.scope = "col"
    th.title = column.help
    const button = node("button", "", column.title)
    button.type = "button"
    button.append(node("span", "arrow"))
    button.onclick = () => {
      state.sort = next(state.sort, column.id)
      state.told(state.sort)
      arrange(state)
    }
    th.append(button)
    tr.append(th)
    state.heads[column.id] = th
  }
  state.head.replaceChildren(tr)
}

function arrange(state) {
  const [id, direction] = (state.sort ?? "").split(".")
  for (const [name, th] of Object.entries(state.heads)) {
    const words = name !== id ? "none" : direction === "asc" ? "ascending" : "descending"
    if (th.getAttribute("aria-sort") !== words) th.setAttribute("aria-sort", words)
  }
  const wanted = order(state.data.rows, state.sort).map((row) => state.rows.get(row.id).tr)
  wanted.forEach((tr, index) => {
    if (state.body.children[index] !== tr) state.body.insertBefore(tr, state.body.children[index] ?? null)
  })
}

function mount(parent) {
  const root = node("div", "watch")
  const table = node("table")
  const caption = node("caption", "", "Instruments that are tracked, and how each stands now")
  const state = { root, head: node("thead"), body: node("tbody"), rows: new Map(), shape: "" }
  table.append(caption, state.head, state.body)
  root.append(table)
  parent.append(root)
  return state
}

export default function (component) {
  const { parentElement, data, setStateValue } = component
  let state = tables.get(parentElement)
  if (!state) {
    state = mount(parentElement)
    state.sort = data.sort
    tables.set(parentElement, state)
  }
  state.data = data
  state.told = (sort) => setStateValue("sort", sort)
  const shape = JSON.stringify(data.columns)
  if (shape !== state.shape) {
    state.shape = shape
    state.rows.clear()
    state.body.replaceChildren()
    makeHead(state, data.columns)
  }
  const most = {}
  for (const { id, kind } of data.columns) {
    if (kind === "split") most[id] = Math.max(0, ...data.rows.map((row) => row.cells[id].v ?? 0))
  }
  const wanted = new Set(data.rows.map((row) => row.id))
  for (const [id, made] of state.rows) {
    if (wanted.has(id)) continue
    made.tr.remove()
    state.rows.delete(id)
  }
  for (const row of data.rows) {
    if (!state.rows.has(row.id)) state.rows.set(row.id, makeRow(row, data.columns))
    renew(state, state.rows.get(row.id), row, data.columns, most)
  }
  arrange(state)
}

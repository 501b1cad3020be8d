// The saved layouts: a field for the name of this one, and a line each of the others. A layout is a link; opening it loads the page.
// Names are written as text. What is sent is checked on the other side.

const lists = new WeakMap()

function part(className, parent, tag = "div", text) {
  const made = document.createElement(tag)
  made.className = className
  if (text !== undefined) made.textContent = text
  parent.append(made)
  return made
}

const ICONS = {
  star: "M8 1.8 9.9 6l4.5.4-3.4 3 1 4.4L8 11.5l-4 2.3 1-4.4-3.4-3L6.1 6z",
  copy: "M5.5 5.5h8v8h-8z M3 10.5h-.5v-8h8V3",
  replace: "M13 8a5 5 0 1 1-1.5-3.6 M13 2v3h-3",
  rename: "M3 13l.6-2.8L10.8 3l2.2 2.2-7.2 7.2z",
  delete: "M4 4l8 8 M12 4l-8 8",
  done: "M3 8.5 6.5 12 13 4.5",
  failed: "M8 3v6 M8 12v.5",
}

function icon(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  picture.setAttribute("viewBox", "0 0 16 16")
  picture.setAttribute("aria-hidden", "true")
  path.setAttribute("d", ICONS[name])
  picture.append(path)
  return picture
}

function button(parent, label, name, act) {
  const made = part("act", parent, "button")
  made.append(icon(name))
  made.type = "button"
  made.title = label
  made.setAttribute("aria-label", label)
  made.onclick = act
  return made
}

function here() {
  return { page: location.pathname, query: location.search }
}

function absolute(data, address) {
  return new URL(`${data.base}/${address}`, location.origin).href
}

function beginRename(state, row, line) {
  const field = part("field", line, "input")
  field.value = row.name
  field.maxLength = state.data.longest_name
  field.setAttribute("aria-label", `New name of ${row.name}`)
  line.replaceChildren(field)
  const end = (isKept) => {
    field.onblur = null
    if (isKept && field.value.trim() && field.value.trim() !== row.name) state.tell({ do: "rename", id: row.id, name: field.value })
    fill(state)
  }
  field.onkeydown = (event) => {
    if (event.key === "Enter") end(true)
    if (event.key === "Escape") end(false)
    event.stopPropagation()
  }
  field.onblur = () => end(true)
  field.focus()
  field.select()
}

async function copy(state, row, pressed) {
  try {
    await navigator.clipboard.writeText(absolute(state.data, row.address))
    pressed.replaceChildren(icon("done"))
  } catch {
    pressed.replaceChildren(icon("failed"))
    pressed.title = "The browser did not allow it; open the layout and copy its address"
  }
  setTimeout(() => pressed.replaceChildren(icon("copy")), 1500)
}

function fill(state) {
  const { data, list } = state
  list.replaceChildren()
  if (!data.rows.length) part("none", list, "li", "None saved yet.")
  for (const row of data.rows) {
    const line = part("line", list, "li")
    const link = part("open", line, "a")
    link.href = absolute(data, row.address)
    part("name", link, "span", row.name)
    part("words", link, "span", row.words)
    const acts = part("acts", line)
    const start = button(acts, row.is_start ? `${row.name} is your start page; press to have none` : `Begin visits with ${row.name}`,
      "star", () => state.tell({ do: "start", id: row.is_start ? null : row.id }))
    start.setAttribute("aria-pressed", String(row.is_start))
    const copied = button(acts, `Copy the link of ${row.name}`, "copy", () => copy(state, row, copied))
    button(acts, `Keep what is shown now as ${row.name}`, "replace", () => state.tell({ do: "replace", id: row.id, ...here() }))
    button(acts, `Rename ${row.name}`, "rename", () => beginRename(state, row, line))
    button(acts, `Delete ${row.name}`, "delete", () => state.tell({ do: "delete", id: row.id }))
  }
}

function mount(parent) {
  const root = part("layouts", parent)
  const form = part("save", root, "form")
  const field = part("field", form, "input")
  field.placeholder = "Name of what is shown now"
  field.setAttribute("aria-label", "Name of the layout that is shown now")
  const state = { form, field, list: part("list", root, "ul") }
  part("keep", form, "button", "Save").type = "submit"
  form.onsubmit = (event) => {
    event.preventDefault()
    if (!field.value.trim()) return
    state.tell({ do: "save", name: field.value, ...here() })
    field.value = ""
  }
  return state
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  let state = lists.get(parentElement)
  if (!state) lists.set(parentElement, (state = mount(parentElement)))
  state.tell = (wish) => setTriggerValue("wish", wish)
  state.field.maxLength = data.longest_name
  state.form.hidden = !data.may_save
  const told = JSON.stringify(data)
  if (told === state.told) return
  state.told = told
  state.data = data
  fill(state)
}

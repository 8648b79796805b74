// Making elements. Text from data always goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export function titleOf(entry) {
  const item = entry.item ?? {};
  const year = item.attributes?.year;
  return (item.title || entry.item_id) + (year ? ` (${year})` : "");
}

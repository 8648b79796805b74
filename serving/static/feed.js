// The list of cards. A re-drawn list keeps its cards, moves them to their new places, and keeps the focus
// where a person would look for it.

import { el, titleOf } from "./dom.js";

export const ACTIONS = [
  { type: "click", label: "Click", key: "c" },
  { type: "like", label: "Like", key: "l" },
  { type: "dislike", label: "Dislike", key: "d" },
  { type: "purchase", label: "Buy", key: "b" },
];
/** Events of the type feedback: what the person wants less of. */
export const CONTROLS = [
  { type: "hide", label: "Hide", key: "h" },
  { type: "less_like", label: "Less like this", key: "x" },
];
const MORE = { type: "similar", label: "More like this", key: "m" };

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class FeedList {
  #list;
  #act;
  #cards = new Map();

  constructor(list, act) {
    this.#list = list;
    this.#act = act;
    list.addEventListener("keydown", (event) => this.#onKey(event));
  }

  clear() {
    this.#cards.clear();
    this.#list.replaceChildren();
  }

  /** Draws the entries. Returns how many cards are new and how many moved up, against what was shown before. */
  show(entries) {
    const before = new Map([...this.#cards].map(([id, card]) => [id, card.element.getBoundingClientRect()]));
    const ranks = new Map([...this.#cards].map(([id, card]) => [id, card.rank]));
    const focus = this.#focus();
    const cards = new Map();
    for (const entry of entries) {
      const card = this.#cards.get(entry.item_id) ?? this.#card(entry);
      this.#update(card, entry, ranks);
      cards.set(entry.item_id, card);
    }
    this.#cards = cards;
    this.#list.replaceChildren(...[...cards.values()].map((card) => card.element));
    this.#restore(focus);
    if (before.size) this.#animate(before);
    const shown = [...cards.keys()];
    return {
      fresh: before.size ? shown.filter((id) => !ranks.has(id)).length : 0,
      moved: shown.filter((id) => ranks.has(id) && ranks.get(id) !== cards.get(id).rank).length,
    };
  }

  busy(id, isBusy) {
    this.#cards.get(id)?.element.classList.toggle("busy", isBusy);
  }

  #card(entry) {
    const title = titleOf(entry);
    const reason = el("p", { class: "reason" });
    const place = el("span", { class: "rank", "aria-hidden": "true" });
    const picture = el("img", { class: "picture", alt: "", loading: "lazy", hidden: "" });
    const change = el("span", { class: "change" });
    const buttons = [...ACTIONS, MORE, ...CONTROLS].map(({ type, label }) =>
      el("button", {
        type: "button",
        "data-act": type,
        "aria-label": `${label}: ${title}`,
        onclick: () => this.#act(type, entry.item_id),
      }, label));
    const element = el("li", { class: "card", tabindex: "0", "data-item": entry.item_id, "aria-label": title },
      place,
      el("div", { class: "body" },
        picture,
        el("h3", {}, title, change),
        el("ul", { class: "genres", "aria-label": "Genres" },
          ...(entry.item?.categories ?? []).map((name) => el("li", {}, name))),
        reason),
      el("div", { class: "actions" }, ...buttons));
    return { element, reason, place, change, picture };
  }

  #update(card, entry, ranks) {
    const old = ranks.get(entry.item_id);
    card.rank = entry.rank;
    card.place.textContent = String(entry.rank + 1);
    card.picture.hidden = !entry.image;
    if (entry.image && card.picture.getAttribute("src") !== entry.image) card.picture.src = entry.image;
    card.reason.textContent = entry.reason?.text ?? "";
    card.reason.dataset.code = entry.reason?.code ?? "";
    card.reason.dataset.because = entry.reason?.item_id ?? "";
    const up = old === undefined ? 0 : old - entry.rank;
    const isNew = ranks.size > 0 && old === undefined;
    card.change.textContent = isNew ? "new" : up > 0 ? `↑ ${up}` : up < 0 ? `↓ ${-up}` : "";
    card.change.className = `change ${isNew ? "new" : up > 0 ? "up" : ""}`;
  }

  #animate(before) {
    if (calm.matches) return;
    for (const [id, { element }] of this.#cards) {
      const from = before.get(id);
      const timing = { duration: 320, easing: "cubic-bezier(.2, .8, .2, 1)" };
      if (!from) {
        element.animate([{ opacity: 0, transform: "translateX(16px)" }, { opacity: 1, transform: "none" }], timing);
        continue;
      }
      const by = from.top - element.getBoundingClientRect().top;
      if (by) element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], timing);
    }
  }

  #focus() {
    const active = document.activeElement;
    const card = active?.closest?.(".card");
    if (!card || !this.#list.contains(card)) return null;
    return {
      item: card.dataset.item,
      index: [...this.#list.children].indexOf(card),
      act: active.dataset.act,
    };
  }

  /** To the same card if it is still there, else to the card in its place. */
  #restore(focus) {
    if (!focus) return;
    const cards = [...this.#list.children];
    const card = this.#cards.get(focus.item)?.element ?? cards[Math.min(focus.index, cards.length - 1)];
    const target = focus.act ? card?.querySelector(`[data-act="${focus.act}"]`) : card;
    target?.focus({ preventScroll: true });
  }

  #onKey(event) {
    const card = event.target.closest(".card");
    if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...this.#list.children];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      cards[cards.indexOf(card) + step]?.focus();
      return;
    }
    const action = [...ACTIONS, MORE, ...CONTROLS].find(({ key }) => key === event.key.toLowerCase());
    if (action) {
      event.preventDefault();
      this.#act(action.type, card.dataset.item);
    }
  }
}

// The live view of the person's features: the row that the feed was made from.

import { $, el, titleOf } from "./dom.js";

const STAGES = ["hydrate", "encode", "retrieve", "filter", "rank", "rerank", "explain"];
const WINDOWS = { "5m": "5 min", "1h": "1 hour", "24h": "24 hours", "7d": "7 days" };
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const words = (counts) => Object.entries(counts).map(([type, n]) => `${n} ${type.replaceAll("_", " ")}`).join(", ");

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function showFeatures(row) {
  const session = row.session;
  const facts = session.id
    ? [
        ["Events", words(session.counts) || "none"],
        ["Films", String(session.items)],
        ["Length", duration(session.length_s)],
        ["Genres", session.categories.join(", ") || "–"],
      ]
    : [["", "No session is open: the next action starts one."]];
  $("session").replaceChildren(
    ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { "data-fact": name.toLowerCase() }, value)]));
  showTaste(row.categories);
  showWindows(row.events);
  $("recent").replaceChildren(...row.recent.slice(0, 8).map((r) =>
    el("li", {}, el("span", {}, r.title || r.item_id), el("small", {}, `${r.event_type}, ${clock.format(r.timestamp)}`))));
  if (!row.recent.length) $("recent").replaceChildren(el("li", { class: "quiet" }, "Nothing yet."));
}

function showTaste(categories) {
  const all = Object.entries(categories).filter(([, share]) => Math.abs(share) >= 0.005);
  const top = all.sort((a, b) => b[1] - a[1]).slice(0, 8);
  const most = Math.max(...top.map(([, share]) => Math.abs(share)), 0.01);
  $("taste").replaceChildren(...top.map(([name, share]) => {
    const bar = el("span", { class: share < 0 ? "bar against" : "bar" });
    bar.style.width = `${(Math.abs(share) / most) * 100}%`;
    return el("li", {}, el("span", {}, name), el("span", { class: "track" }, bar), el("small", {}, share.toFixed(2)));
  }));
  if (!top.length) $("taste").replaceChildren(el("li", { class: "quiet" }, "Nothing yet."));
}

function showWindows(events) {
  const types = [...new Set(Object.values(events).flatMap(Object.keys))];
  if (!types.length) {
    $("windows").replaceChildren(el("caption", { class: "quiet" }, "Nothing in the last 7 days."));
    return;
  }
  const head = el("tr", {}, el("th", { scope: "col" }, ""),
    ...Object.values(WINDOWS).map((name) => el("th", { scope: "col" }, name)));
  const rows = types.map((type) => el("tr", {}, el("th", { scope: "row" }, type.replaceAll("_", " ")),
    ...Object.keys(WINDOWS).map((window) => el("td", {}, String(events[window]?.[type] ?? 0)))));
  $("windows").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
}

export function showTimings(answer) {
  const timings = answer.timings_ms;
  const total = STAGES.reduce((sum, name) => sum + (timings[name] ?? 0), 0) || 1;
  $("stages").replaceChildren(...STAGES.map((name) => {
    const part = el("span", { class: `stage ${name}`, title: `${name}: ${(timings[name] ?? 0).toFixed(2)} ms` });
    part.style.width = `${((timings[name] ?? 0) / total) * 100}%`;
    return part;
  }));
  $("stages").setAttribute("aria-label",
    `Server time: ${STAGES.map((name) => `${name} ${(timings[name] ?? 0).toFixed(1)} ms`).join(", ")}`);
  $("stage-legend").replaceChildren(...STAGES.map((name) =>
    el("li", {}, el("i", { class: `stage ${name}` }), `${name} ${(timings[name] ?? 0).toFixed(1)}`)));
  const { last_event_at: last, lag_ms: lag } = answer.freshness;
  const state = lag ? `the store is ${lag} ms behind; the server filled the gap` : "the store is up to date";
  $("freshness").textContent = last ? `Last event ${clock.format(last)}; ${state}.` : "No event of this person yet.";
}

export function showMeasured(measured) {
  $("milliseconds").textContent = measured ? Math.round(measured.total) : "–";
  $("breakdown").textContent = measured
    ? `${Math.round(measured.receipt)} to Kafka's receipt, ${Math.round(measured.feed)} to the new feed, ` +
      `${Math.round(measured.drawn)} to draw it`
    : "Act on a film to measure it.";
}

export function showItems(list, entries) {
  list.replaceChildren(...entries.map((entry) =>
    el("li", {}, el("span", {}, titleOf(entry)), el("small", {}, (entry.item?.categories ?? []).join(", ")))));
}

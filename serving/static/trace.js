// The trace of an answer as a table: what every stage did.

import { $, el } from "./dom.js";

const COLUMNS = {
  step: (stage) => stage.step,
  stage: (stage) => stage.stage,
  ms: (stage) => stage.ms.toFixed(2),
  in: (stage) => stage.candidates_in,
  out: (stage) => stage.candidates_out,
  removed: (stage) => stage.removed || "",
  moved: (stage) => stage.moved || "",
  failed: (stage) => [stage.failed, stage.fell_back].filter(Boolean).join("; "),
};

export function showTrace({ trace }) {
  $("trace-head").replaceChildren(el("tr", {}, ...Object.keys(COLUMNS).map((name) => el("th", { scope: "col" }, name))));
  $("trace-rows").replaceChildren(...trace.map((stage) =>
    el("tr", {}, ...Object.values(COLUMNS).map((text) => el("td", {}, String(text(stage)))))));
  $("trace").showModal();
}

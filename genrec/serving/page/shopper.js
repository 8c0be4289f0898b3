// One shopper: a history, and what the model makes of it.

import { get, post } from "./api.js";
import { attempt, element, nameOf, picture, say } from "./dom.js";

const COUNT = 10;

export class Shopper {
  constructor(name, { tasks, query, onActive }) {
    this.name = name;
    this.tasks = tasks;
    this.query = query;
    this.history = [];
    this.section = document.getElementById("shopper").content.cloneNode(true).firstElementChild;
    this.find("h2").textContent = name;
    this.section.setAttribute("aria-label", name);
    this.find(".random").addEventListener("click", () => this.begin());
    this.find(".clear").addEventListener("click", () => this.become([]));
    this.section.addEventListener("focusin", () => onActive(this));
    this.section.addEventListener("click", () => onActive(this));
  }

  find(selector) {
    return this.section.querySelector(selector);
  }

  // Take somebody's history.
  async begin() {
    await attempt(async () => {
      const { history } = await get("/v1/examples");
      const { items } = history.length ? await get("/v1/items", { ids: history }) : { items: [] };
      await this.become(items);
    });
  }

  add(item) {
    return this.become([...this.history, item]);
  }

  become(history) {
    this.history = history;
    this.find(".empty").hidden = history.length > 0;
    this.find(".history").replaceChildren(...history.map((item, place) => this.past(item, place)));
    return this.refresh();
  }

  past(item, place) {
    const title = `Remove ${nameOf(item)} from the history`;
    const button = element("button", { type: "button", title, "aria-label": title }, picture(item));
    button.addEventListener("click", () => this.become(this.history.filter((_, other) => other !== place)));
    return element("li", {}, button);
  }

  get body() {
    return { history: this.history.map((item) => item.item_id) };
  }

  // Ask anew; an answer that nobody waits for any more is dropped.
  async refresh() {
    this.waiting?.abort();
    const { signal } = (this.waiting = new AbortController());
    const list = this.find(".found");
    list.classList.add("busy");
    await attempt(async () => {
      const query = this.query();
      const wanted = { ...this.body, k: COUNT, details: true };
      const { items } = query
        ? await post("/v1/search", { ...wanted, query }, signal)
        : await post("/v1/recommend", wanted, signal);
      this.find(".found-title").textContent = query ? `Found for “${query}”` : "Recommended next";
      list.replaceChildren(...items.map((one) => this.found(one, items[0].score)));
      say(`${items.length} ${query ? "items found" : "recommendations"} for ${this.name}.`);
      list.classList.remove("busy");
      await this.rate(items, signal);
    });
    if (!signal.aborted) list.classList.remove("busy");
  }

  found({ item, score }, best) {
    const { price, category } = item.attributes;
    const facts = [category, price != null ? `$${Number(price).toFixed(2)}` : null].filter(Boolean);
    const chance = `${(100 * Math.exp(score)).toPrecision(2)} %`;
    const add = element(
      "button", { type: "button", className: "add", title: "Add to the history", "aria-label": `Add ${nameOf(item)} to the history` },
      picture(item),
    );
    add.addEventListener("click", () => this.add(item));
    const reason = element("p", { className: "reason", hidden: true, "aria-live": "polite" });
    const entry = element(
      "li", {},
      add,
      element(
        "div", {},
        element("p", { className: "title" }, nameOf(item)),
        element("p", { className: "facts" }, facts.join(" · ")),
        element("meter", { min: 0, max: 1, value: Math.exp(score - best), title: chance, "aria-label": `Probability ${chance}` }),
        element("div", { className: "row" }, element("span", { className: "facts score" }, chance), this.why(item, reason)),
      ),
      reason,
    );
    entry.dataset.item = item.item_id;
    return entry;
  }

  why(item, reason) {
    if (!this.tasks.includes("explain")) return null;
    const button = element("button", { type: "button", className: "why", "aria-label": `Why ${nameOf(item)}?` }, "Why?");
    button.addEventListener("click", () =>
      attempt(async () => {
        button.disabled = true;
        try {
          const { text } = await post("/v1/explain", { ...this.body, item: item.item_id });
          reason.textContent = `“${text}”`;
          reason.hidden = false;
        } finally {
          button.disabled = false;
        }
      }));
    return button;
  }

  // The ratings that the model expects come a little later than the list.
  async rate(items, signal) {
    if (!this.tasks.includes("rate") || !items.length) return;
    const ids = items.map((one) => one.item_id);
    const { ratings } = await post("/v1/rate", { ...this.body, items: ids }, signal);
    for (const { item_id: id, expected } of ratings) {
      const entry = [...this.find(".found").children].find((one) => one.dataset.item === id);
      const words = `Expected rating ${expected.toFixed(1)}`;
      const stars = element("span", { role: "img", title: words, "aria-label": words }, `★ ${expected.toFixed(1)}`);
      entry?.querySelector(".score").append(" · ", stars);
    }
  }
}

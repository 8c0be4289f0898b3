// The catalogue to browse and to pick from.

import { get } from "./api.js";
import { attempt, element, nameOf, picture } from "./dom.js";

export class Shelf {
  constructor(onPick) {
    this.onPick = onPick;
    this.page = 1;
    this.form = document.getElementById("filter");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.show(1), 150);
    });
    document.getElementById("before").addEventListener("click", () => this.show(this.page - 1));
    document.getElementById("after").addEventListener("click", () => this.show(this.page + 1));
  }

  offer(categories) {
    const options = Object.keys(categories).sort().map((name) => element("option", { value: name }, name));
    this.form.category.append(...options);
  }

  async show(page) {
    this.waiting?.abort();
    const { signal } = (this.waiting = new AbortController());
    await attempt(async () => {
      const { text, category } = this.form;
      const wanted = { text: text.value, category: category.value, page, page_size: 12 };
      const found = await get("/v1/items", wanted, signal);
      this.page = page;
      document.getElementById("items").replaceChildren(...found.items.map((item) => this.tile(item)));
      document.getElementById("page").textContent = found.total ? `${page} of ${found.pages}` : "Nothing found";
      document.getElementById("before").disabled = page <= 1;
      document.getElementById("after").disabled = page >= found.pages;
    });
  }

  tile(item) {
    const button = element(
      "button", { type: "button", className: item.in_stock ? "" : "sold-out" },
      picture(item),
      element("span", { className: "title" }, nameOf(item), item.in_stock ? "" : " (sold out)"),
    );
    button.addEventListener("click", () => this.onPick(item));
    return element("li", {}, button);
  }
}

// Pictures of what the shoppers would like to find: drawn by the model, and not for sale.

import { post } from "./api.js";
import { attempt, element, nameOf, picture, say } from "./dom.js";

const PICTURES = 4;

export function offerPictures(shoppers, query) {
  const drawings = element("div", { className: "drawings" });
  const button = element("button", { type: "button" }, "Draw it");
  button.addEventListener("click", () =>
    attempt(async () => {
      if (!query()) return say("Search for something first; then it can be drawn.", true);
      button.disabled = true;
      try {
        drawings.replaceChildren(...(await Promise.all(shoppers.map((shopper) => draw(shopper, query())))));
        say(`Drawn for “${query()}”.`);
      } finally {
        button.disabled = false;
      }
    }));
  const title = element("h2", { id: "drawings-title" }, "What they would like to find");
  const hint = element("p", { className: "hint" }, "Drawn for the search above, guided by the items that it finds.");
  document.getElementById("more").append(
    element("section", { className: "panel", "aria-labelledby": "drawings-title" }, title, hint, button, drawings),
  );
}

async function draw(shopper, query) {
  const wanted = { ...shopper.body, query, pictures: PICTURES, details: true };
  const { items, pictures } = await post("/v1/imagine", wanted);
  const alt = `${query}, drawn for ${shopper.name}`;
  const drawn = pictures.map((file) => element("img", { src: `data:image/png;base64,${file}`, alt }));
  const guides = items.map(({ item }) => element("span", { title: `Guided by ${nameOf(item)}` }, picture(item)));
  return element("div", {}, element("h3", {}, shopper.name), element("div", { className: "drawn" }, ...drawn, ...guides));
}

// The demo page: shoppers, what they search for, and the catalogue.

import { get, useToken } from "./api.js";
import { attempt } from "./dom.js";
import { offerPictures } from "./imagine.js";
import { Shelf } from "./shelf.js";
import { Shopper } from "./shopper.js";

const ask = document.getElementById("ask");
const tokenForm = document.getElementById("token");
const query = () => ask.query.value.trim();

export const shoppers = [];
let active;

function makeActive(shopper) {
  active = shopper;
  document.getElementById("whose").textContent = shoppers.length > 1 ? ` of ${shopper.name}` : "";
}

function invite(name, tasks) {
  const shopper = new Shopper(name, { tasks, query, onActive: makeActive });
  shoppers.push(shopper);
  document.getElementById("shoppers").append(shopper.section);
  makeActive(shopper);
  return shopper.begin();
}

function dismissSecond() {
  shoppers.pop().section.remove();
  makeActive(shoppers[0]);
}

const shelf = new Shelf((item) => active.add(item));

async function begin() {
  const about = await get("/v1/catalogue");
  const words = `${about.items} items, version ${about.catalogue_version} of the catalogue.`;
  document.getElementById("about").textContent = words;
  shelf.offer(about.categories);
  ask.hidden = !about.tasks.includes("recommend");
  ask.query.disabled = !about.tasks.includes("search");
  if (about.tasks.includes("imagine")) offerPictures(shoppers, query);
  ask.compare.addEventListener("change", () => (ask.compare.checked ? invite("Shopper 2", about.tasks) : dismissSecond()));
  ask.addEventListener("submit", (event) => {
    event.preventDefault();
    shoppers.forEach((shopper) => shopper.refresh());
  });
  ask.query.addEventListener("search", () => !query() && shoppers.forEach((shopper) => shopper.refresh()));
  await Promise.all([shelf.show(1), invite("Shopper 1", about.tasks)]);
}

tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(tokenForm.token.value);
  location.reload();
});

attempt(begin);

// Small helpers to build the page out of elements and text.

import { showPicture } from "./api.js";

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const nameOf = (item) => item.title ?? item.item_id;

// The picture of an item, or its first letter where there is none.
export function picture(item) {
  const letter = () => nameOf(item).slice(0, 1).toUpperCase();
  const frame = element("span", { className: "picture", ariaHidden: "true" });
  if (!item.picture) {
    frame.append(letter());
    return frame;
  }
  const image = element("img", { alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => frame.replaceChildren(letter()));
  frame.append(image);
  showPicture(image, item.picture).catch(() => frame.replaceChildren(letter()));
  return frame;
}

export function say(text, isWrong = false) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("wrong", isWrong);
}

// Run what may fail, and say why it did; a newer request takes the place of an older one.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (error.status === 401) document.getElementById("token").hidden = false;
    say(error.message, true);
    return undefined;
  }
}

// Talks to the service. All that comes back is data: it is shown as text, never as HTML.

let token = sessionStorage.getItem("token");

export class Refused extends Error {
  constructor(status, { message, remedy }) {
    super(remedy ? `${message}: ${remedy}` : message);
    this.status = status;
  }
}

export function useToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const fallback = { message: `the service answered ${response.status}` };
  const body = await response.json().catch(() => ({}));
  throw new Refused(response.status, body.error ?? fallback);
}

export async function get(path, query = {}, signal) {
  const told = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(told.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  return (await request(`${path}?${search}`, { signal })).json();
}

export async function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
}

// An <img> cannot show a token, so with one its bytes are fetched here.
export async function showPicture(image, path) {
  if (!token) {
    image.src = path;
    return;
  }
  const url = URL.createObjectURL(await (await request(path)).blob());
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.src = url;
}

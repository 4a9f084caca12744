// Who is logged in.

import { Problem, send, useCsrf } from "./api.js";

export async function logIn(username, password) {
  const { data } = await send("POST", "/sessions", { body: { username, password }, quiet: true });
  return began(data);
}

// The session of the cookie after a reload; null when there is none.
export async function restore() {
  try {
    const { data } = await send("GET", "/sessions/current", { quiet: true });
    return began(data);
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) return null;
    throw problem;
  }
}

export async function logOut() {
  await send("DELETE", "/sessions/current", { quiet: true });
  useCsrf("");
}

function began({ csrf_token: csrf, expires_at: expires, user }) {
  useCsrf(csrf);
  return { user, expires: new Date(expires).getTime() };
}

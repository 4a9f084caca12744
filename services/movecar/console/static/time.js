// Times as people in Asia/Shanghai read them, and the server's idea of now.

const ZONE = { timeZone: "Asia/Shanghai", hourCycle: "h23" };
const DAY = new Intl.DateTimeFormat("sv-SE", { ...ZONE, year: "numeric", month: "2-digit", day: "2-digit" });
const CLOCK = new Intl.DateTimeFormat("zh-CN", { ...ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const NOTEWORTHY_SKEW_MS = 2000;

let skew = 0;

// The workstation's clock may be wrong; deadlines are the server's. The Date header is good to a second.
export function learnServerTime(header) {
  const server = Date.parse(header ?? "");
  if (Number.isNaN(server)) return;
  const difference = server + 500 - Date.now();
  skew = Math.abs(difference) > NOTEWORTHY_SKEW_MS ? difference : 0;
}

export function now() {
  return Date.now() + skew;
}

export function clock(moment) {
  return CLOCK.format(moment);
}

export function day(moment) {
  return DAY.format(moment);
}

// 14:03:22, or 03-31 14:03:22 when it was not today; a dash when there is no time.
export function when(text) {
  const moment = Date.parse(text);
  if (Number.isNaN(moment)) return "—";
  const date = day(moment);
  return date === day(now()) ? clock(moment) : `${date.slice(5)} ${clock(moment)}`;
}

export function full(text) {
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? "—" : `${day(moment)} ${clock(moment)}`;
}

// 4:05, or 1:02:03 from an hour on.
export function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

// Midnight of a day (yyyy-mm-dd) in Asia/Shanghai, `later` days on, as the API wants it.
export function midnight(date, later = 0) {
  const moment = new Date(`${date}T00:00:00+08:00`).getTime() + later * 86_400_000;
  return `${day(moment)}T00:00:00+08:00`;
}

// What a datetime-local input says, in Asia/Shanghai, as the API wants it.
export function shanghai(text) {
  return text && `${text.length === 16 ? `${text}:00` : text}+08:00`;
}

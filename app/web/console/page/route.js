// Which view the address names: #/, #/calls/{call_sid}, #/days.

import { signal } from "./lib.js";

function parse() {
  const [, first = "", second = ""] = location.hash.split("/");
  if (first === "calls" && second) {
    try {
      return { view: "call", callSid: decodeURIComponent(second) };
    } catch {
      return { view: "call", callSid: second };
    }
  }
  return { view: first === "days" ? "days" : "start" };
}

export const route = signal(parse());

addEventListener("hashchange", () => {
  route.value = parse();
});

export const callAddress = (callSid) => `#/calls/${encodeURIComponent(callSid)}`;

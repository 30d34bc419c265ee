// What every module of the page uses: elements, hooks and signals, under one name each.

import { h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState };

/** A value that modules share. Those who watch it are called when it becomes another one. */
class Signal {
  #value;
  #watchers = new Set();

  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  set value(next) {
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Returns what ends the watch. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

export const signal = (value) => new Signal(value);

/** A signal's value, or what `of` makes of it: the component is drawn again when that changes. */
export function useValue(source, of = (value) => value) {
  const [, redraw] = useState();
  const drawn = of(source.value);
  useLayoutEffect(() => {
    const look = () => Object.is(of(source.value), drawn) || redraw({});
    look(); // it may have changed since
    return source.watch(look);
  });
  return drawn;
}

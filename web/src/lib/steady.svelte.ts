/** An order that changes only now and then, and not while someone uses the rows. */

/** The interval between two orders by figures that change every second. */
const EVERY_MS = 5000;

export class SteadyOrder {
  /** Read it to arrange again at the right moments. */
  turn = $state(0);

  /** An action for the table. */
  readonly hold = (table: HTMLElement): { destroy(): void } => {
    const timer = setInterval(() => {
      const used = table.querySelector('tbody:hover, tbody:focus-within') !== null;
      if (!document.hidden && !used) this.turn += 1;
    }, EVERY_MS);
    return { destroy: () => clearInterval(timer) };
  };
}

/** Tell an element's owner when it comes into sight and when it leaves. */

const owners = new WeakMap<Element, (seen: boolean) => void>();
let observer: IntersectionObserver | undefined;

/** An action: `use:onScreen={(seen) => …}`. */
export function onScreen(element: Element, tell: (seen: boolean) => void): { destroy(): void } {
  observer ??= new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) owners.get(target)?.(isIntersecting);
  });
  owners.set(element, tell);
  observer.observe(element);
  return {
    destroy() {
      owners.delete(element);
      observer?.unobserve(element);
    },
  };
}

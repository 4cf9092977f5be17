/** The time under the pointer, which the charts of a view share. */
export const cursor: { time: number | null } = $state({ time: null });

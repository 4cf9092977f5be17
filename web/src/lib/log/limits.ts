/** Characters of a line that a row shows; a click shows the rest. */
export const ROW_CHARS = 4000;

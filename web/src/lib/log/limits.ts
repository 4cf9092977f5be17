/** Characters of a line that a row shows; the rest is a click away. */
export const ROW_CHARS = 4000;

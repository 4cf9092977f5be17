/** Questions and notices that any view may show. */

export interface Question {
  readonly title: string;
  readonly text: string;
  readonly action: string;
  readonly danger?: boolean;
}

interface Open extends Question {
  readonly answer: (yes: boolean) => void;
}

export const dialogs: {
  question: Open | null;
  notice: string;
  palette: boolean;
  help: boolean;
} = $state({ question: null, notice: '', palette: false, help: false });

/** Ask for confirmation before an action that affects running containers. */
export function confirm(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    dialogs.question = {
      ...question,
      answer: (yes) => {
        dialogs.question = null;
        resolve(yes);
      },
    };
  });
}

let timer = 0;

/** Show a notice for a few seconds. */
export function notify(text: string): void {
  dialogs.notice = text;
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    dialogs.notice = '';
  }, 5000);
}

import type { Language } from "../../scripts/corpus/record.ts";

const SCRIPTS: Readonly<Record<Language, RegExp>> = {
  en: /^[A-Za-zé]$/,
  es: /^[A-Za-záéíóúüñÁÉÍÓÚÑ]$/,
  zh: /^\p{Script=Han}$/u,
  ru: /^\p{Script=Cyrillic}$/u,
  ar: /^\p{Script=Arabic}$/u,
};

/** Of the letters of a text, the share that the language writes with. */
export function scriptShare(text: string, language: Language): number {
  const letters = Array.from(text.matchAll(/\p{L}/gu), ([letter]) => letter);
  if (letters.length === 0) return 0;
  return letters.filter((letter) => SCRIPTS[language].test(letter)).length / letters.length;
}

export const chineseShare = (text: string): number => scriptShare(text, "zh");

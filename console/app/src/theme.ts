import { createTheme, type MantineColorsTuple } from '@mantine/core';

const gate: MantineColorsTuple = [
  '#ecfdf9', '#d3f6ee', '#a6ecdc', '#74e1c9', '#4bd7b8', '#2fc9a8', '#14a488', '#0f766e', '#0c5f59', '#084843',
];

export const theme = createTheme({
  primaryColor: 'gate',
  primaryShade: { light: 7, dark: 6 },
  colors: { gate },
  defaultRadius: 'md',
  autoContrast: true,
  luminanceThreshold: 0.35,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace',
  headings: { fontWeight: '650' },
  cursorType: 'pointer',
});

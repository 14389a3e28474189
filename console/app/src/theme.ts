import { Badge, createTheme, Drawer, Modal, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

const gate: MantineColorsTuple = [
  '#ecfdf9', '#d3f6ee', '#a6ecdc', '#74e1c9', '#4bd7b8', '#2fc9a8', '#14a488', '#0f766e', '#0c5f59', '#084843',
];

// Deeper than Mantine's own, so that white on it is readable (WCAG 1.4.3).
const red: MantineColorsTuple = [
  '#fff1f1', '#ffe0e0', '#ffc4c4', '#ff9f9f', '#f87373', '#ec5252', '#d53b3b', '#c02b2b', '#a62323', '#8a1c1c',
];

export const theme = createTheme({
  primaryColor: 'gate',
  primaryShade: 7, // in the dark as well: white on shade 6 is too faint (WCAG 1.4.3)
  colors: { gate, red },
  defaultRadius: 'md',
  autoContrast: true,
  luminanceThreshold: 0.35,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace',
  headings: { fontWeight: '650' },
  cursorType: 'pointer',
  components: {
    Badge: Badge.extend({ defaultProps: { tt: 'none' } }),
    // Their headers would count as a second banner of the page.
    Modal: Modal.extend({ defaultProps: { attributes: { header: { role: 'none' } } } }),
    Drawer: Drawer.extend({ defaultProps: { attributes: { header: { role: 'none' } } } }),
  },
});

/** Secondary text, and what is wrong, that is still readable on our backgrounds (WCAG 1.4.3). */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: { '--mantine-color-dimmed': '#5a6570', '--mantine-color-placeholder': '#6a7580', '--mantine-color-yellow-light-color': '#7a4f00', '--mantine-color-orange-light-color': '#8f3a00' },
  dark: { '--mantine-color-dimmed': '#a5adb5', '--mantine-color-placeholder': '#9aa2aa', '--mantine-color-error': '#ff9f9f' },
});

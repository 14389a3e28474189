import type { GatewayNode } from '../client/api';

interface Standing {
  word: string;
  color: 'teal' | 'yellow' | 'orange' | 'red' | 'gray';
  /** What it means, and what to do. */
  means: string;
}

const modes: Record<string, Standing> = {
  alone: { word: 'Alone', color: 'teal', means: 'The only node of this gateway. Nothing to do.' },
  fresh: { word: 'Well', color: 'teal', means: 'Answers from memory and has missed nothing. Nothing to do.' },
  joining: { word: 'Joining', color: 'yellow', means: 'Makes sure of what it remembers before it answers. This takes moments; if it stays so, look into its log.' },
  sql_only: { word: 'Without Redis', color: 'orange', means: 'Asks the database about every request: right, but slower. Bring back Redis, or its way there.' },
  lost: { word: 'Answers nothing', color: 'red', means: 'Reaches neither Redis nor the database, so every request gets 503. Bring back one of them, or its way there.' },
};

const unheard: Record<string, Standing> = {
  silent: { word: 'Silent', color: 'red', means: 'Has stopped without taking its leave, or cannot reach Redis. Start it again, or find out what stops it.' },
  unknown: { word: 'Not heard', color: 'gray', means: 'The node that you ask cannot hear the others without Redis. What it shows here is what it heard last.' },
};

const listed: Standing = { word: 'Listed', color: 'gray', means: 'It is there, but tells nothing of itself. If it stays so, it is of another version.' };

/** How a node is, in a word and a sentence. */
export function standingOf(node: Pick<GatewayNode, 'heard' | 'mode' | 'draining'>): Standing {
  const gone = unheard[node.heard];
  if (gone) return gone;
  if (node.draining) return { word: 'Ending', color: 'yellow', means: 'About to stop: it takes no more connections and finishes what is under way. Others serve meanwhile.' };
  return modes[node.mode ?? ''] ?? listed;
}

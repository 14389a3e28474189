import { useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, useState } from 'react';
import { listsTouchedBy } from '../words/events';
import { streamURL, type AuditEvent } from './api';
import { keys, refresh } from './queries';

export type LiveState = 'off' | 'connecting' | 'live';

export const LiveContext = createContext<LiveState>('off');
export const useLiveState = () => useContext(LiveContext);

/** How long changes are gathered before lists are read again. */
const gather = 250;

/**
 * Follows the log and reads again whatever an event touches. The stream tells
 * of new events only, so that every (re)connection reads the lists once.
 */
export function useLive(enabled: boolean): LiveState {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('off');

  useEffect(() => {
    if (!enabled) return;
    setState('connecting');
    const source = new EventSource(streamURL);
    const touched = new Set<readonly unknown[]>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const touch = (...lists: (readonly unknown[])[]) => {
      for (const list of lists) touched.add(list);
      timer ??= setTimeout(() => {
        timer = undefined;
        const lists = [...touched];
        touched.clear();
        void refresh(client, ...lists);
      }, gather);
    };
    source.onopen = () => {
      setState('live');
      touch(keys.events, keys.sessions, keys.devices);
    };
    source.onerror = () => setState('connecting');
    source.addEventListener('event', (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as AuditEvent;
      touch(keys.events, ...listsTouchedBy(event.type).map((list) => keys[list]));
    });
    return () => {
      source.close();
      clearTimeout(timer);
      setState('off');
    };
  }, [client, enabled]);

  return state;
}

import { createContext, useContext } from 'react';
import type { Connection, ConnectionSpec, Provider } from '../../client/api';
import type { Errors } from './spec';

/** What the parts of the form work on. */
export interface Form {
  spec: ConnectionSpec;
  set: (change: Partial<ConnectionSpec>) => void;
  errors: Errors;
  /** The name that the connection has, or will have. */
  name: string;
  /** The connection as it is; absent for a new one. */
  connection: Connection | undefined;
  provider: Provider | undefined;
}

export const FormContext = createContext<Form | undefined>(undefined);

export function useForm(): Form {
  const form = useContext(FormContext);
  if (!form) throw new Error('a field outside of the form of a connection');
  return form;
}

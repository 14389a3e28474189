import { Navigate } from 'react-router';
import { useMe } from '../client/queries';
import { placesFor } from '../navigation';

/** Goes to the first place that the caller can use. */
export function Home() {
  const me = useMe();
  const first = me.data && placesFor(me.data)[0];
  return first ? <Navigate to={first.to} replace /> : null;
}

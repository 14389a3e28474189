import { describe, expect, it } from 'vitest';
import { schemaSetting, type Schema } from './SchemaFields';

describe('a schema of the settings', () => {
  it('stays as it was when nothing is typed', () => {
    const kept: Schema = {
      urn: 'urn:acme:User', name: 'Acme', description: 'x', required: true,
      attributes: [
        { name: 'site', type: 'string', description: 'where', case_exact: true, canonical_values: ['Berlin'], multi_valued: true, required: true, immutable: true },
        { name: 'home', type: 'reference', reference_types: ['User'] },
        { name: 'desk', type: 'complex', description: 'd', sub_attributes: [{ name: 'number', type: 'integer' }, { name: 'side', type: 'string', case_exact: true }] },
      ],
    };
    expect(schemaSetting(kept)).toEqual(kept);
  });
  it('leaves out what means nothing to the type', () => {
    expect(schemaSetting({ urn: ' urn:acme:User ', name: '', attributes: [
      { name: ' a ', type: 'integer', description: ' ', case_exact: true, canonical_values: ['x'], reference_types: ['User'], multi_valued: false, sub_attributes: [{ name: 'b', type: 'string' }] },
      { name: 'c', type: 'complex', case_exact: true, canonical_values: ['x'], sub_attributes: [{ name: 'd', type: 'boolean', case_exact: true }] },
    ] })).toEqual({ urn: 'urn:acme:User', attributes: [{ name: 'a', type: 'integer' }, { name: 'c', type: 'complex', sub_attributes: [{ name: 'd', type: 'boolean' }] }] });
  });
});

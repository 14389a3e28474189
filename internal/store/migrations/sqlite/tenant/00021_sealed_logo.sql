-- tenants: whether the image is sealed under the tenant's key, as all are from now on
ALTER TABLE logos ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT FALSE;
